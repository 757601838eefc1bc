"""What keeping freed memory saves: a narrow network with and without it in turn, the ratio in ``extra_info``."""

import statistics
import subprocess
import sys

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
    for _ in range(20):
        network(images)
print(time.process_time() - start)
"""


def seconds(how):
    return float(subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True).stdout)


def test_passes_of_a_narrow_network(benchmark):
    pairs = [(seconds("keep"), seconds("leave")) for _ in range(3)]
    benchmark.pedantic(seconds, ("keep",), rounds=1)
    ratio = statistics.median(kept / left for kept, left in pairs)
    benchmark.extra_info["processor time with memory kept per time without"] = ratio
    assert ratio > 0
