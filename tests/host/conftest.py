"""Entries of a few lines, built in hosts of their own."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.data.card import Card
from benchmark.data.registry import find_card
from benchmark.host.client import Host
from benchmark.host.limits import Limits
from benchmark.host.remote import RemoteDefense
from benchmark.host.residence import Residence
from benchmark.root import Root, find_root
from benchmark.submission import Entry, find_entry
from benchmark.submission.weights import save_weights

SIZE, CLASSES = 8, 3

CARD = f"""
name = "toy"
title = "Toy"
modality = "none"
task = "multiclass"
classes = ["a", "b", "c"]
size = {SIZE}
channels = 1
source = "made for a test"
licence = "none"
citation = "none"
loader = "npz"
patient_ids = false
[splits]
train = 1
val = 1
test = 1
[[files]]
name = "toy.npz"
sha256 = ["{"0" * 64}"]
how_to_get = "ask the test"
[npz]
[official]
count = 1
drawn = "by rule"
"""

MANIFEST = """
name = "{name}"
title = "Toy"
authors = ["A test"]
task = "classification"
datasets = ["toy"]
architecture = "linear"
defense_family = "none"
revision = 1
[weights.toy]
file = "toy.safetensors"
sha256 = "{sha256}"
"""

HEAD = """
import os, sys, time
import torch
from torch import nn
from benchmark.defense import Decision, Defense, Stage

def linear(context):
    size = context.channels * context.size ** 2
    return context.load_weights(nn.Sequential(nn.Flatten(), nn.Linear(size, context.num_classes)))

"""

PLAIN = """
def build(context):
    return Defense(linear(context), context.num_classes)
"""

SHORT = Limits(start=20.0, call=3.0, image=0.01, most=3.0)
"""Bounds under which a test need not wait."""


def network() -> nn.Module:
    """The classifier of every entry here."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, CLASSES)).eval()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A project with one data set card and no data."""
    path = tmp_path_factory.mktemp("project")
    (path / "datasets" / "toy").mkdir(parents=True)
    (path / "datasets" / "toy" / "dataset.toml").write_text(CARD)
    (path / "submissions").mkdir()
    (path / "BENCHMARK.md").write_text("# Toy\n")
    return find_root(path)


@pytest.fixture(scope="session")
def card(project: Root) -> Card:
    """Its card."""
    return find_card("toy", project)


Write = Callable[..., Entry]
Build = Callable[..., RemoteDefense]
Start = Callable[..., Host]


@pytest.fixture
def write(project: Root, request: pytest.FixtureRequest) -> Write:
    """Writes an entry of some code, which follows :data:`HEAD`."""

    def written(code: str = PLAIN, **files: str) -> Entry:
        name = f"e{hashlib.sha256((code + request.node.nodeid).encode()).hexdigest()[:12]}"
        folder = project.submissions / name
        folder.mkdir(exist_ok=True)
        (folder / "defense.py").write_text(HEAD + code)
        for place, text in files.items():
            (folder / place).write_text(text)
        sha256 = save_weights(network(), folder / "toy.safetensors")
        (folder / "submission.toml").write_text(MANIFEST.format(name=name, sha256=sha256))
        return find_entry(project, name)

    return written


@pytest.fixture
def build(write: Write, card: Card) -> Iterator[Build]:
    """Builds the defense of some code in a host."""
    made: list[Residence] = []

    def built(code: str = PLAIN, limits: Limits | None = None, salted: bool = True, **files: str) -> RemoteDefense:
        entry = write(code, **files)
        salt = entry.content_hash("toy") if salted else ""
        made.append(Residence(entry.plan(card), torch.device("cpu"), limits or SHORT, salt))
        return RemoteDefense(made[-1])

    yield built
    for residence in made:
        residence.close()


@pytest.fixture
def images() -> torch.Tensor:
    """Five images."""
    return torch.rand(5, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A file that no entry may see."""
    path = tmp_path / "secret.txt"
    path.write_text("the labels")
    return path
