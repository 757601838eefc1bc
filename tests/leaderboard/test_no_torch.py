"""The leaderboard builds where no torch is installed."""

import subprocess
import sys

CHECK = """
import pkgutil, sys, importlib
sys.modules["torch"] = None
import leaderboard
for module in pkgutil.walk_packages(leaderboard.__path__, "leaderboard."):
    importlib.import_module(module.name)
    print(module.name)
"""


def test_every_module_imports_with_torch_forbidden():
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "leaderboard.metrics" in done.stdout.split()
