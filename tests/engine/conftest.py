"""A whole project in a temporary folder, small enough to be evaluated many times.

Each class has a checkered pattern; an image shows its class's pattern at a contrast of its own, so that images fall at
different budgets and a few are wrong from the start. Images 36 to 39 of the test split have a white corner, which no
budget hides: the official ones of them lie in the last chunk. Two images in turn are of one patient.
"""

import fcntl
import hashlib
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmark.engine import RunReport, RunSettings, evaluate, workplace
from benchmark.host.limits import Limits
from benchmark.matrix import load_matrix
from benchmark.matrix.diagnostics import Diagnostics, load_diagnostics
from benchmark.models import build_network
from benchmark.results.schema import DIAGNOSTIC, NOT_IDENTITY
from benchmark.results.store import read_table
from benchmark.submission.weights import save_weights

SIZE = 12
COUNTS = {"train": 12, "val": 12, "test": 40}
TRACKS = ("clean", "corruption", "no-box", "black-box", "gray-box", "white-box", "adaptive")
FILES = (*TRACKS, DIAGNOSTIC)
"""Tracks that a run of all of them has files of: diagnostics come with the adaptive one."""
MATRIX = Path(__file__).parent / "matrix.toml"
STEADY = Limits(calls=2000, pristine=False)
"""A fork of these networks, which answer at once, is kept for long; ``tests/host`` has those that are replaced."""

SHIPPED = ("plain", "jpeg", "voting")

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
patient_ids = true
[splits]
train = 12
val = 12
test = 40
[[files]]
name = "toy.npz"
sha256 = ["SHA256"]
how_to_get = "ask the test"
[npz]
groups = "{{split}}_patients"
[official]
count = 20
drawn = "by rule"
"""

MANIFEST = """
name = "NAME"
title = "Toy"
authors = ["A test"]
task = "classification"
datasets = ["toy"]
architecture = "linear"
defense_family = "none"
revision = 1
[weights.toy]
file = "toy.safetensors"
sha256 = "SHA256"
"""

CODE = """
import torch
from torch import nn
from benchmark.defense import Defense
from benchmark.defense.stages import BinomialVote, BitDepth, Jpeg, MedianFilter, SaltAndPepper


class Linear(nn.Module):
    def __init__(self, context):
        super().__init__()
        self.fc = nn.Linear(context.size**2, context.num_classes)

    def forward(self, images):
        return self.fc(images.flatten(1) - 0.5)


def classifier(context):
    return context.load_weights(Linear(context))


def build(context):
    return Defense(classifier(context), context.num_classes, {arguments})
"""

ARGUMENTS = {
    "plain": "",
    "jpeg": "stages=[Jpeg(80)]",
    "voting": "stages=[SaltAndPepper(0.1)], vote=BinomialVote(copies=8, alpha=0.3)",
}


def patterns() -> torch.Tensor:
    """(3, SIZE * SIZE) of -1 and 1."""
    return torch.randint(0, 2, (3, SIZE**2), generator=torch.Generator().manual_seed(5)).float() * 2 - 1


def _make_data(folder: Path) -> str:
    draw = np.random.default_rng(0)
    arrays = {}
    for split, count in COUNTS.items():
        labels = np.arange(count) % 3
        contrast = np.linspace(-1, 12, count)[:, None]
        values = 127 + contrast * patterns().numpy()[labels] + draw.normal(0, 2, (count, SIZE**2))
        images = values.round().clip(0, 255).astype(np.uint8).reshape(-1, SIZE, SIZE)
        images[36:, 0, 0] = 255
        arrays[f"{split}_images"] = images
        arrays[f"{split}_labels"] = labels
        arrays[f"{split}_patients"] = np.array([f"{split}-patient-{image // 2}" for image in range(count)])
    np.savez(folder / "toy.npz", **arrays)
    return hashlib.sha256((folder / "toy.npz").read_bytes()).hexdigest()


def write_submission(folder: Path, arguments: str = "", code: str = "") -> Path:
    """Write a submission with the linear classifier; ``code`` may define things anew after it."""
    folder.mkdir(parents=True)

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(SIZE**2, 3)

    network = Linear()
    network.fc.weight.data = patterns()
    network.fc.bias.data.zero_()
    sha256 = save_weights(network, folder / "toy.safetensors")
    (folder / "submission.toml").write_text(MANIFEST.replace("NAME", folder.name).replace("SHA256", sha256))
    (folder / "defense.py").write_text(CODE.replace("{arguments}", arguments) + dedent(code))
    return folder


def small_diagnostics() -> tuple[Diagnostics, str]:
    """The diagnostics in force, with budgets for toys."""
    found, digest = load_diagnostics()
    small = {"distilled": {"queries": 20, "images": 20, "rounds": 1}, "rays": {"queries": 20}}
    cells = [cell.model_copy(update={"params": small.get(cell.name, cell.params)}) for cell in found.cell]
    return found.model_copy(update={"cell": cells}), digest


@contextmanager
def small_matrix() -> Iterator[None]:
    """Put the small matrix in force; workers are forked, so that they have it too (and start faster)."""
    fork = multiprocessing.get_context("fork")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workplace, "load_matrix", lambda path=MATRIX: load_matrix(path))
        patch.setattr(workplace, "load_diagnostics", small_diagnostics)
        patch.setattr(multiprocessing, "get_context", lambda _: fork)
        yield


@pytest.fixture(autouse=True)
def _small_matrix() -> Iterator[None]:
    with small_matrix():
        yield


def _add_surrogate(folder: Path, name: str, seed: int) -> None:
    (folder / f"{name}.toml").write_text(
        'method = "natural"\ndatasets = ["toy"]\narchitecture = "narrow-resnet18"\n'
        f'weights = "{name}.safetensors"\nseed = 1\nepochs = 1\n[options]\nwidth = 2\n'
    )
    with torch.random.fork_rng():
        torch.manual_seed(3 + seed)
        save_weights(build_network("narrow-resnet18", 3, 1, width=2), folder / f"{name}.safetensors")


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, with three submissions."""
    path = tmp_path_factory.mktemp("project")
    (path / "BENCHMARK.md").write_text("rules\n")
    (path / "data").mkdir()
    (path / "datasets" / "toy" / "surrogates").mkdir(parents=True)
    (path / "datasets" / "toy" / "dataset.toml").write_text(CARD.replace("SHA256", _make_data(path / "data")))
    for seed, name in enumerate(("mobilenetv2", "vgg")):
        _add_surrogate(path / "datasets" / "toy" / "surrogates", name, seed)
    for name, arguments in ARGUMENTS.items():
        write_submission(path / "submissions" / name, arguments)
    return path


@dataclass(frozen=True)
class Run:
    """A finished evaluation."""

    report: RunReport
    results: Path

    def rows(self, submission: str, track: str) -> pd.DataFrame:
        """The rows of one file."""
        table = read_table(self.results / "toy" / submission / f"{track}.parquet")
        assert table is not None
        return pd.DataFrame(table.to_pydict())

    def identity(self, submission: str, track: str) -> pd.DataFrame:
        """The columns in which two runs of the same units must agree."""
        return self.rows(submission, track).drop(columns=list(NOT_IDENTITY))


@pytest.fixture(scope="session")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Evaluate: ``run(submissions, tracks, results=None, workers=1, on_event=..., **settings)``."""

    def _run(submissions, tracks, results=None, workers=1, on_event=lambda *_: None, **settings):
        results = results or tmp_path_factory.mktemp("results")
        asked = RunSettings(
            **{"root": root, "results": results, "data_dir": root / "data", "limits": STEADY, **settings}
        )
        names = [str(name) for name in submissions]
        with small_matrix():
            return Run(evaluate(asked, names, ["toy"], list(tracks), workers, on_event), results)

    return _run


@pytest.fixture(scope="session")
def whole(run: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Run:
    """All submissions through all tracks, by one worker without interruption; made once for all workers of pytest."""
    if worker_id == "master":
        return run(SHIPPED, TRACKS)
    shared = tmp_path_factory.getbasetemp().parent
    with (shared / "whole.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = shared / "whole.pickle"
        if not made.exists():
            made.write_bytes(pickle.dumps(run(SHIPPED, TRACKS, shared / "whole")))
        found: Run = pickle.loads(made.read_bytes())
    return found


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., Path]:
    """Write a submission outside the project: ``plant(name, arguments="", code="")`` returns its folder."""
    return lambda name, arguments="", code="": write_submission(tmp_path / "entries" / name, arguments, code)
