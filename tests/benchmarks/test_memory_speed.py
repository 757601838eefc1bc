"""What keeping freed memory saves: a narrow network with and without it in turn, the ratio in ``extra_info``."""

import statistics
import subprocess
import sys

import pytest

SCRIPT = """
import sys, time, torch
from benchmark.memory import keep_freed_memory
from benchmark.models import NarrowResNet18
if sys.argv[1] == "keep":
    keep_freed_memory()
torch.set_num_threads(1)
network = NarrowResNet18(2, 1, width=16).eval()
images = torch.rand(256, 1, 28, 28)
with torch.no_grad():
    network(images)
    start = time.process_time()
    for _ in range(int(sys.argv[2])):
        network(images)
print(time.process_time() - start)
"""


def seconds(how, passes):
    command = [sys.executable, "-c", SCRIPT, how, str(passes)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_passes_of_a_narrow_network(benchmark):
    """Where nothing is measured, one pair of short runs shows that both ways work."""
    passes, pairs = (1, 1) if benchmark.disabled else (20, 3)
    kept = benchmark.pedantic(seconds, ("keep", passes), rounds=1)
    times = [(kept, seconds("leave", passes))]
    times += [(seconds("keep", passes), seconds("leave", passes)) for _ in range(pairs - 1)]
    ratio = statistics.median(kept / left for kept, left in times)
    benchmark.extra_info["processor time with memory kept per time without"] = ratio
    assert ratio > 0
