"""Pretend entries whose every number can be worked out by hand, written as schema-valid Parquet."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from benchmark.matrix.diagnostics import GRADIENT, load_diagnostics
from benchmark.results.schema import DIAGNOSTIC, SCHEMA
from benchmark.results.store import write_table
from benchmark.root import Root
from leaderboard.entries import EntryRows, Required, entries_in
from leaderboard.rows import read_rows
from leaderboard.site import build_site

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

EPS = (1.0, 2.0, 4.0, 8.0)
NEVER = 99.0
TRACKS = ("clean", "corruption", "no-box", "black-box", "gray-box", "white-box", "adaptive")
CELLS: dict[str, tuple[tuple[str, str], ...]] = {
    "no-box": (("pgd-20", ""), ("cw-linf", "")),
    "black-box": (("square", ""),),
    "gray-box": (("gap", ""),),
    "white-box": (("fgsm", ""), ("pgd-20", ""), ("apgd-ce", "autoattack"), ("square", "autoattack")),
    "adaptive": (("pgd-20", ""), ("apgd-ce", "autoattack"), ("square", "autoattack")),
}
NOISES = ("gaussian_noise", "shot_noise", "speckle_noise")
SMOOTH = (
    "gaussian_blur", "motion_blur", "zoom_blur", "snow", "spatter", "brightness",
    "translate", "rotate", "tilt", "scale", "shear",
)  # fmt: skip
DIAGNOSTICS = {"matrix_version": load_diagnostics()[0].version, "matrix_hash": load_diagnostics()[1]}
LARGE = "pgd-128"
UNAIDED = "inner"


def row(submission: str, dataset: str, image: int, label: int, **changes: Any) -> dict[str, Any]:
    """One valid row; every column may be overridden."""
    made: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    made.update(
        submission=submission, submission_hash=f"{len(submission):064x}", dataset=dataset, dataset_hash="d" * 64,
        split="test", sample_id=f"{image:05d}", group_id=f"p{image:05d}", task="binary", matrix_version="1",
        matrix_hash="a" * 64, profile="official", official=True, individual=False, suite="", norm="",
        status="ok", reason="", label=label, pred_clean=label, pred=label, correct=True, abstained=False, draws=1,
        right_draws=1, skipped=False, unranked=False, broken_by="", same_as="", device="cpu", made_by="e" * 16,
        harness_version="0.1.0", git_commit="c" * 40, started_at="2026-01-01T00:00:00Z", queries=0, gradients=0,
        seconds=0.01,
    )  # fmt: skip
    made.update(changes)
    return made


def gap(one: dict[str, Any], reason: str = "out of memory") -> dict[str, Any]:
    """The row in place of this one that says that the cell could not run on the image."""
    nothing = dict.fromkeys(("pred", "preds", "draws", "right_draws", "probs", "score", "linf"))
    return one | nothing | {"status": "gap", "reason": reason, "correct": False}


def holed(rows: Iterable[dict[str, Any]], reason: str = "out of memory", **where: Any) -> list[dict[str, Any]]:
    """Rows with gaps where these columns have these values."""
    return [gap(one, reason) if all(one[name] == value for name, value in where.items()) else one for one in rows]


def only(rows: Iterable[dict[str, Any]], *tracks: str) -> list[dict[str, Any]]:
    """The rows of these tracks."""
    return [one for one in rows if one["track"] in tracks]


def with_gradients(images: Iterable[int], eps: float) -> dict[tuple[str, str, int], float]:
    """What falls to whoever has the gradient: in the white-box track and in the adaptive one, which knows more."""
    cells = (("white-box", "fgsm"), ("adaptive", "pgd-20"))
    return {(track, attack, image): eps for image in images for track, attack in cells}


@dataclass
class Pretend:
    """A pretend entry: which images it gets wrong clean, and at which budget each other one falls where.

    ``falls`` maps (track, attack, image) to the smallest eps, in 1/255, at which that cell fells the image; cells that
    are not named never do. ``skip`` leaves out work as a default run does; with ``descend`` a suite tries an
    image below the largest budget only after it broke it above. ``kept`` images are robust at 128/255, where no image
    of a sound entry is, at ``gradientless`` ones the gradient is zero, and ``hidden`` ones fall to an attack that needs
    nothing of the entry.
    """

    submission: str
    dataset: str = "films"
    labels: tuple[int, ...] = (0, 1) * 6
    attacked: int = 10
    wrong_clean: frozenset[int] = frozenset()
    falls: Mapping[tuple[str, str, int], float] = field(default_factory=dict)
    skip: bool = True
    tracks: tuple[str, ...] = (*TRACKS, DIAGNOSTIC)
    changes: Mapping[str, Any] = field(default_factory=dict)
    flip_every: int = 0
    perturbations: tuple[str, ...] = (*NOISES, *SMOOTH)
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    frames: int = 5
    corrupted: int = 2
    descend: bool = False
    kept: int = 0
    gradientless: int = 0
    hidden: int = 0

    def rows(self) -> list[dict[str, Any]]:
        makers = {"clean": self._clean, "corruption": self._corruption, DIAGNOSTIC: self._diagnostic}
        made: list[dict[str, Any]] = []
        for track in self.tracks:
            own = makers[track]() if track in makers else self._attack(track)
            # Diagnostics are a file of their own, whatever the matrix is.
            fixed = DIAGNOSTICS if track == DIAGNOSTIC else {}
            made += [{**one, **self.changes, **fixed} for one in own]
        return made

    def rows_with_uncounted(self, falling: int) -> list[dict[str, Any]]:
        """The rows, and those of an unranked white-box attack that fells the first ``falling`` images."""
        made = self.rows()
        first, _ = CELLS["white-box"][0]
        return made + [
            {**one, "attack": "tim", "suite": "", "unranked": True, "skipped": False, "broken_by": ""}
            | ({"correct": False, "right_draws": 0} if int(one["sample_id"]) < falling else {})
            for one in made
            if (one["track"], one["attack"]) == ("white-box", first)
        ]

    def _row(self, image: int, **changes: Any) -> dict[str, Any]:
        label = self.labels[image]
        wrong = image in self.wrong_clean
        return row(
            self.submission, self.dataset, image, label, **{"pred_clean": 1 - label if wrong else label, **changes}
        )

    def _clean(self) -> list[dict[str, Any]]:
        made = []
        for image, label in enumerate(self.labels):
            wrong = image in self.wrong_clean
            pred = 1 - label if wrong else label
            classes = max(self.labels) + 1
            probs = [0.8 if c == pred else 0.2 / (classes - 1) for c in range(classes)]
            made.append(
                self._row(
                    image,
                    track="clean",
                    attack="none",
                    pred=pred,
                    correct=not wrong,
                    right_draws=int(not wrong),
                    probs=probs,
                )
            )
        return made

    def _attack(self, track: str) -> list[dict[str, Any]]:
        made = []
        for image in range(self.attacked):
            broken = ""
            for eps in EPS:
                for attack, suite in CELLS[track]:
                    wrong = image in self.wrong_clean
                    standing = not wrong and eps < self.falls.get((track, attack, image), NEVER)
                    left = self.descend and suite and eps < EPS[-1] and (track, attack, image) not in self.falls
                    skipped = self.skip and (wrong or bool(broken) or bool(left))
                    right = standing and not (skipped and broken)
                    spent = (
                        {"queries": None, "gradients": None, "seconds": None}
                        if skipped
                        else {"queries": 100 * (image + 1), "linf": round(eps / 255, 3)}
                    )
                    made.append(
                        self._row(
                            image,
                            track=track,
                            attack=attack,
                            suite=suite,
                            norm="linf",
                            eps_255=eps,
                            correct=right,
                            right_draws=int(right),
                            skipped=skipped,
                            broken_by=broken if skipped else "",
                            pred=self.labels[image] if right else 1 - self.labels[image],
                            individual=not self.skip,
                            **spent,
                        )
                    )
                    if not standing and not broken:
                        broken = f"{attack}@{eps:g}"
        return made

    def _corruption(self) -> list[dict[str, Any]]:
        """Every ``flip_every``-th answers wrongly on odd frames, all others are steady."""
        made = []
        for image in range(self.corrupted):
            restless = self.flip_every > 0 and image % self.flip_every == 0
            label = self.labels[image]
            preds = [1 - label if restless and frame % 2 else label for frame in range(self.frames)]
            for attack in self.perturbations:
                for severity in self.severities:
                    made.append(
                        self._row(
                            image,
                            track="corruption",
                            attack=attack,
                            severity=severity,
                            preds=preds,
                            **dict.fromkeys(("pred", "correct", "abstained", "draws", "right_draws")),
                        )
                    )
        return made

    def _diagnostic(self) -> list[dict[str, Any]]:
        """The first ``kept`` of the attacked images stand at 128/255, and ``gradientless`` ones have no gradient."""
        made = []
        for image in range(self.attacked):
            stands = image < self.kept
            common = {"track": DIAGNOSTIC, "unranked": True}
            hit = self._row(image, attack=LARGE, norm="linf", eps_255=128.0, correct=stands, right_draws=int(stands))
            inner = self._row(image, attack=UNAIDED, norm="linf", eps_255=8.0)
            if image < self.hidden:
                inner |= {"correct": False, "right_draws": 0}
            made.append(inner | {"track": DIAGNOSTIC})
            size = 0.0 if image < self.gradientless else 0.25
            nothing = dict.fromkeys(("pred", "pred_clean", "correct", "abstained", "draws", "right_draws"))
            made += [hit | common, self._row(image, attack=GRADIENT, score=size, **nothing) | common]
        return made


def write(folder: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write rows as the harness does, as <folder>/<dataset>/<submission>/<track>.parquet."""
    units: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one in rows:
        units.setdefault((one["dataset"], one["submission"], one["track"]), []).append(one)
    for (dataset, submission, track), part in units.items():
        write_table(pa.Table.from_pylist(part, schema=SCHEMA), folder / dataset / submission / f"{track}.parquet")
    return folder


def rows_of(members: Iterable[Pretend | list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of some entries, each given as itself or as its rows."""
    return [one for member in members for one in (member.rows() if isinstance(member, Pretend) else member)]


@pytest.fixture
def pretend() -> type[Pretend]:
    return Pretend


@pytest.fixture
def save() -> Callable[[Path, Iterable[dict[str, Any]]], Path]:
    return write


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """Write some entries to Parquet and read them back."""
    counter = iter(range(1000))

    def make(*members: Pretend | list[dict[str, Any]]) -> pd.DataFrame:
        folder = tmp_path / f"results{next(counter)}"
        return read_rows([write(folder, rows_of(members))])

    return make


@pytest.fixture
def filed(tmp_path: Path) -> Callable[..., list[EntryRows]]:
    """Write some entries to Parquet and find them there; those of ``own`` in a folder of the reader's own."""
    counter = iter(range(1000))

    def make(*members: Pretend | list[dict[str, Any]], own: Sequence[Pretend] = ()) -> list[EntryRows]:
        folders = [tmp_path / f"{name}{next(counter)}" for name in ("official", "own")]
        for folder, some in zip(folders, (members, own), strict=True):
            folder.mkdir()
            write(folder, rows_of(some))
        return entries_in(folders[:1], unofficial=folders[1:])

    return make


@pytest.fixture
def asks() -> Callable[..., Required]:
    """A matrix that asks for these (track, attack, norm, eps) cells of every entry."""
    return lambda *cells: Required("a" * 64, TRACKS, lambda entry: set(cells))


CARD = """
name = "{name}"
title = "Pretend {name}"
modality = "chest X-ray"
task = "binary"
classes = ["healthy", "<b>ill</b>"]
size = 32
channels = 1
source = "made up"
licence = "CC0"
citation = "Nobody, nowhere"
loader = "synthetic"
patient_ids = false

[splits]
train = 20
val = 10
test = 12

[official]
count = 10
drawn = "The first ten."
"""

MANIFEST = """
name = "{name}"
title = "{title}"
authors = ["A. Author"]
task = "classification"
datasets = ["films"]
architecture = "ResNet-18, narrow"
defense_family = "{family}"
revision = 1

[weights.films]
file = "weights.safetensors"
sha256 = "{sha}"

[paper]
title = "A paper"
authors = ["A. Author"]
venue = "Journal"
year = 2020
url = "{url}"
bibtex = "@article{{author2020, title={{A paper}}}}"

[[claims]]
dataset = "films"
attack = "pgd-20"
eps_255 = 8
metric = "accuracy"
value = 0.717
source = "Table 3"
"""


class Project:
    """A pretend project root with cards and manifests."""

    def __init__(self, path: Path) -> None:
        self.root = Root(path)
        for name in ("films", "skin"):
            (self.root.datasets / name).mkdir(parents=True)
            (self.root.datasets / name / "dataset.toml").write_text(CARD.format(name=name))

    def manifest(self, name: str, title: str, family: str = "none", url: str = "https://example.org/") -> None:
        folder = self.root.submissions / name
        folder.mkdir(parents=True)
        text = MANIFEST.format(name=name, title=title, family=family, url=url, sha="b" * 64)
        (folder / "submission.toml").write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def pretend_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first page of a site with three official entries, a second data set and a fresh unofficial run."""
    folder = tmp_path_factory.mktemp("pretend")
    project = Project(folder / "project")
    project.manifest("natural", "Natural training", "none")
    project.manifest("robust", "Adversarial training", "adversarial training")
    project.manifest("noisy", "Noise and vote", "randomisation")
    many: dict[str, Any] = {"labels": (0, 1) * 30, "attacked": 60, "frames": 2}
    official = [
        Pretend("natural", **many, falls=with_gradients(range(50), 4.0), flip_every=2),
        Pretend("robust", **many, falls=with_gradients(range(10), 8.0), wrong_clean=frozenset({1, 2, 3})),
        Pretend("noisy", **many, falls={("adaptive", "square", i): 8.0 for i in range(30)}, flip_every=3),
        Pretend("natural", dataset="skin", frames=2),
    ]
    fresh = Pretend("natural", attacked=4, frames=2, changes={"profile": "quick"})
    write(folder / "official", rows_of(official))
    write(folder / "fresh", fresh.rows())
    found = entries_in([folder / "official"], unofficial=[folder / "fresh"])
    return build_site(found, project.root, folder / "site")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that fails the test on any script error and on any request that is not for a local file."""
    options = getattr(request, "param", {})
    context = browser.new_context(accept_downloads=True, **options)
    made = context.new_page()
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    made.on(
        "request",
        lambda asked: None if asked.url.startswith(("file:", "blob:", "data:")) else faults.append(asked.url),
    )
    yield made
    context.close()
    assert not faults
