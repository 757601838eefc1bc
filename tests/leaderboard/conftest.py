"""Pretend entries whose every number can be worked out by hand, written as schema-valid Parquet."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.results.schema import SCHEMA
from leaderboard.rows import read_rows

EPS = (1.0, 2.0, 4.0, 8.0)
NEVER = 99.0
CELLS: dict[str, tuple[tuple[str, str], ...]] = {
    "no-box": (("pgd-20", ""), ("cw-linf", "")),
    "black-box": (("square", ""),),
    "white-box": (("fgsm", ""), ("pgd-20", ""), ("apgd-ce", "autoattack"), ("square", "autoattack")),
    "adaptive": (("pgd-20", ""), ("apgd-ce", "autoattack"), ("square", "autoattack")),
}
NOISES = ("gaussian_noise", "shot_noise", "speckle_noise")
SMOOTH = (
    "gaussian_blur", "motion_blur", "zoom_blur", "snow", "spatter", "brightness",
    "translate", "rotate", "tilt", "scale", "shear",
)  # fmt: skip


def row(submission: str, dataset: str, image: int, label: int, **changes: Any) -> dict[str, Any]:
    """One valid row; every column may be overridden."""
    made: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    made.update(
        submission=submission, submission_hash=f"{len(submission):064x}", dataset=dataset, dataset_hash="d" * 64,
        split="test", sample_id=f"{image:05d}", group_id=f"p{image:05d}", task="binary", matrix_version="1",
        matrix_hash="a" * 64, profile="official", official=True, individual=False, suite="", norm="", seed=image,
        status="ok", reason="", label=label, pred_clean=label, pred=label, correct=True, abstained=False, draws=1,
        right_draws=1, spared=False, broken_by="", device="cpu", harness_version="0.1.0", git_commit="c" * 40,
        started_at="2026-01-01T00:00:00Z", queries=0, gradients=0, seconds=0.01, linf=0.0, l2=0.0,
    )  # fmt: skip
    made.update(changes)
    return made


@dataclass
class Pretend:
    """A pretend entry: which images it gets wrong clean, and at which budget each other one falls where.

    ``falls`` maps (track, attack, image) to the smallest eps, in 1/255, at which that cell fells the image; cells that
    are not named never do. ``spare`` leaves out work as a default run does.
    """

    submission: str
    dataset: str = "films"
    labels: tuple[int, ...] = (0, 1) * 6
    attacked: int = 10
    wrong_clean: frozenset[int] = frozenset()
    falls: Mapping[tuple[str, str, int], float] = field(default_factory=dict)
    spare: bool = True
    tracks: tuple[str, ...] = ("clean", "corruption", "no-box", "black-box", "white-box", "adaptive")
    changes: Mapping[str, Any] = field(default_factory=dict)
    flip_every: int = 0
    perturbations: tuple[str, ...] = (*NOISES, *SMOOTH)
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    frames: int = 5

    def rows(self) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for track in self.tracks:
            made += {"clean": self._clean, "corruption": self._corruption}.get(track, lambda t=track: self._attack(t))()
        return [{**one, **self.changes} for one in made]

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
            right = int(not wrong)
            made.append(
                self._row(
                    image,
                    track="clean",
                    attack="none",
                    pred=pred,
                    correct=not wrong,
                    right_draws=right,
                    probs=probs,
                    prob_true=probs[label],
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
                    spared = self.spare and (wrong or bool(broken))
                    right = standing and not (spared and broken)
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
                            spared=spared,
                            broken_by=broken if spared else "",
                            pred=self.labels[image] if right else 1 - self.labels[image],
                            queries=0 if spared else 100 * (image + 1),
                            individual=not self.spare,
                        )
                    )
                    if not standing and not broken:
                        broken = f"{attack}@{eps:g}"
        return made

    def _corruption(self) -> list[dict[str, Any]]:
        """At most ten images; every ``flip_every``-th answers wrongly on odd frames, all others are steady."""
        made = []
        for image in range(min(self.attacked, 10)):
            restless = self.flip_every > 0 and image % self.flip_every == 0
            for attack in self.perturbations:
                for severity in self.severities:
                    for frame in range(self.frames):
                        label = self.labels[image]
                        pred = 1 - label if restless and frame % 2 else label
                        made.append(
                            self._row(
                                image,
                                track="corruption",
                                attack=attack,
                                severity=severity,
                                frame=frame,
                                pred=pred,
                                correct=pred == label,
                                right_draws=int(pred == label),
                            )
                        )
        return made


def write(folder: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write rows as <folder>/<dataset>/<submission>/<track>.parquet."""
    units: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one in rows:
        units.setdefault((one["dataset"], one["submission"], one["track"]), []).append(one)
    for (dataset, submission, track), part in units.items():
        place = folder / dataset / submission
        place.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(part, schema=SCHEMA), place / f"{track}.parquet")
    return folder


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
        rows = [one for member in members for one in (member.rows() if isinstance(member, Pretend) else member)]
        return read_rows([write(folder, rows)])

    return make
