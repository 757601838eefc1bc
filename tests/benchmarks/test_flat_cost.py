"""What an image costs, and what memory a run takes, in a small set and in a large one; ratios in ``extra_info``."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.models import NarrowResNet18
from benchmark.submission.weights import save_weights

COUNTS = (100, 1_000, 10_000)
SIZE = 28

CARD = """
name = "many"
title = "Many"
modality = "none"
task = "multiclass"
classes = ["a", "b"]
size = 28
channels = 1
source = "made for a test"
licence = "none"
citation = "none"
loader = "npz"
patient_ids = false
[splits]
train = 2
val = 2
test = 10000
[[files]]
name = "many.npz"
sha256 = ["SHA256"]
how_to_get = "ask the test"
[npz]
[official]
count = 10000
drawn = "by rule"
"""

MATRIX = """
version = "flat"
chunk = 128
[corruption]
mode = "paper"
severities = [1]
images = 4
source = "none"
[profile.official]
official = true
judge_draws = 1
eot_samples = 1
[[cell]]
track = "white-box"
name = "pgd"
method = "pgd"
eps_255 = [8]
cost = "inexpensive"
params = { steps = 20 }
knowledge = "everything"
objective = "cross-entropy"
source = "a test"
"""

MANIFEST = """
name = "net"
title = "Net"
authors = ["A test"]
task = "classification"
datasets = ["many"]
architecture = "narrow ResNet-18"
defense_family = "none"
revision = 1
[weights.many]
file = "many.safetensors"
sha256 = "SHA256"
"""

CODE = """
from benchmark.defense import Defense
from benchmark.models import NarrowResNet18

def build(context):
    return Defense(context.load_weights(NarrowResNet18(context.num_classes, context.channels, width=16)), 2)
"""

RUN = """
import json, resource, sys, time
from pathlib import Path
from benchmark.engine import RunSettings, evaluate
path, count = Path(sys.argv[1]), int(sys.argv[2])
begun = []
settings = RunSettings(path, path / f"results{count}", data_dir=path / "data", limit=count, matrix=path / "matrix.toml")
report = evaluate(settings, ["net"], ["many"], ["white-box"], on_estimate=lambda _: begun.append(time.perf_counter()))
seconds = time.perf_counter() - begun[0]
assert report.failures == {}, report.failures
print(json.dumps([seconds / count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
"""Seconds per image, and the largest memory in MiB, of a run in a process of its own."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Ten thousand images of noise, and a network that keeps no class apart."""
    draw = np.random.default_rng(0)
    (tmp_path / "BENCHMARK.md").write_text("rules\n")
    (tmp_path / "data").mkdir()
    arrays = {}
    for split, count in (("train", 2), ("val", 2), ("test", 10_000)):
        arrays[f"{split}_images"] = draw.integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(count) % 2
    np.savez(tmp_path / "data" / "many.npz", **arrays)
    sha256 = hashlib.sha256((tmp_path / "data" / "many.npz").read_bytes()).hexdigest()
    (tmp_path / "datasets" / "many").mkdir(parents=True)
    (tmp_path / "datasets" / "many" / "dataset.toml").write_text(CARD.replace("SHA256", sha256))
    (tmp_path / "matrix.toml").write_text(MATRIX)
    folder = tmp_path / "submissions" / "net"
    folder.mkdir(parents=True)
    sha256 = save_weights(NarrowResNet18(2, 1, width=16), folder / "many.safetensors")
    (folder / "submission.toml").write_text(MANIFEST.replace("SHA256", sha256))
    (folder / "defense.py").write_text(CODE)
    return tmp_path


@pytest.mark.slow
def test_an_image_costs_the_same_among_a_hundred_and_among_ten_thousand(benchmark, project):  # type: ignore[no-untyped-def]
    def cost(count: int) -> list[float]:
        command = [sys.executable, "-c", RUN, project, str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told: list[float] = json.loads(done.stdout.splitlines()[-1])
        return told

    found = {count: cost(count) for count in COUNTS[:-1]}
    found[COUNTS[-1]] = benchmark.pedantic(cost, (COUNTS[-1],), rounds=1)
    first = found[COUNTS[0]]
    benchmark.extra_info["per count: time of an image and memory, by those among a hundred"] = {
        count: [seconds / first[0], memory / first[1]] for count, (seconds, memory) in found.items()
    }
    assert all(row > 0 for pair in found.values() for row in pair)
