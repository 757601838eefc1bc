"""A project of its own in a temporary folder, with a data set in which brightness is the diagnosis."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.root import Root
from benchmark.submission.contract import Report, check_submission

CARD = """
name = "tiny"
title = "Tiny"
modality = "none"
task = "multiclass"
classes = ["dark", "middle", "bright"]
size = 16
channels = 1
source = "made for a test"
licence = "none"
citation = "none"
loader = "npz"
patient_ids = false

[splits]
train = 12
val = 90
test = 30

[[files]]
name = "tiny.npz"
sha256 = ["{sha256}"]
how_to_get = "ask the test"

[npz]

[official]
count = 12
drawn = "by rule"
"""

MANIFEST = """
name = "{name}"
title = "Planted"
authors = ["A test"]
task = "classification"
datasets = ["tiny"]
architecture = "brightness"
defense_family = "none"
revision = 1
{extra}
"""

SOUND = """
import torch
from torch import nn
from benchmark.defense import Decision, Defense, Stage


class Brightness(nn.Module):
    def forward(self, images):
        middles = torch.tensor([0.25, 0.5, 0.75])
        return -60 * (images.flatten(1).mean(dim=1, keepdim=True) - middles) ** 2


def build(context):
    return Defense(Brightness(), context.num_classes)
"""
"""A whole, right submission; planted ones append a definition that breaks one promise."""


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A project with the card ``tiny``; its data lie in ``data/``."""
    path = tmp_path_factory.mktemp("project")
    (path / "BENCHMARK.md").write_text("rules\n")
    (path / "submissions").mkdir()
    (path / "data").mkdir()
    (path / "datasets" / "tiny").mkdir(parents=True)
    generator = np.random.default_rng(0)
    arrays = {}
    for split, count in {"train": 12, "val": 90, "test": 30}.items():
        labels = np.arange(count) % 3
        spread = generator.uniform(-40, 40, (count, 16, 16))
        arrays[f"{split}_images"] = (64 * (labels[:, None, None] + 1) + spread).clip(0, 255).astype(np.uint8)
        arrays[f"{split}_labels"] = labels
    np.savez(path / "data" / "tiny.npz", **arrays)
    digest = hashlib.sha256((path / "data" / "tiny.npz").read_bytes()).hexdigest()
    (path / "datasets" / "tiny" / "dataset.toml").write_text(CARD.format(sha256=digest))
    return Root(path)


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a submission: the sound one, with code appended and manifest lines added."""

    def make(code: str = "", extra: str = "", name: str = "planted") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "README.md").write_text("made for a test\n")
        (folder / "submission.toml").write_text(MANIFEST.format(name=name, extra=extra))
        (folder / "defense.py").write_text(SOUND + code)
        return folder

    return make


@pytest.fixture
def check(project: Root) -> Callable[..., Report]:
    """Return a function that holds a folder to the contract, on the data set's real images unless told otherwise."""

    def run(folder: Path, data_dir: Path | None = None) -> Report:
        return check_submission(project, str(folder), data_dir=data_dir or project.path / "data")

    return run


@pytest.fixture
def caught(plant: Callable[..., Path], check: Callable[..., Report]) -> Callable[..., None]:
    """Return a function that plants code and asserts that exactly one check fails, with these words."""

    def expect(name: str, words: str, code: str, extra: str) -> None:
        report = check(plant(code, extra))
        assert [failure.name for failure in report.failures] == [name], report.failures
        assert words in report.failures[0].message
        assert not report.passed

    return expect
