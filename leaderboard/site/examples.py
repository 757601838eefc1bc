"""Example images of an entry: the sheet beside its rows, copied into the site, and what was predicted on each image."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import BenchError
from benchmark.files import read_text
from leaderboard.entries import EntryRows

SHEET, WORDS = "examples.webp", "examples.json"
"""Files beside an entry's rows: three rows of tiles of equal size, and the labels and predictions of each column."""

ROWS = ("Clean image", "Perturbation", "Adversarial image")
"""Rows of tiles of a sheet, from the top."""


@dataclass(frozen=True)
class Prediction:
    """A predicted class by name and whether it is the label."""

    name: str
    correct: bool


@dataclass(frozen=True)
class Example:
    """One image: its id, its label by name, and the predictions without and under attack."""

    sample_id: str
    label: str
    clean: Prediction
    attacked: Prediction

    @property
    def changed(self) -> bool:
        """Whether the attack changed the prediction."""
        return self.clean.name != self.attacked.name


@dataclass(frozen=True)
class Examples:
    """The images of an entry; ``sheet`` is the sheet's path below the site."""

    sheet: str
    attack: str
    eps_255: float
    amplified: float
    images: tuple[Example, ...]

    def rows(self) -> tuple[tuple[str, int], ...]:
        """The rows of tiles in words, each with its place from the top."""
        named = (ROWS[0], f"{ROWS[1]} × {self.amplified:g}", ROWS[2])
        return tuple((words, place) for place, words in enumerate(named))


def copy_examples(entry: EntryRows, classes: Sequence[str], out_dir: Path) -> Examples | None:
    """Copy an entry's sheet to ``data/examples`` of the site and read what belongs to it; None where it has none.

    Args:
        entry: whose rows the sheet lies beside.
        classes: names of the classes in the order of their labels; a class beyond them is called by its number.
        out_dir: the site.

    Raises:
        BenchError: what belongs to the sheet cannot be read.
    """
    sheet, words = entry.beside(SHEET), entry.beside(WORDS)
    if sheet is None or words is None:
        return None
    mark = "" if entry.official else "-unofficial"
    place = f"data/examples/{entry.submission}-{entry.dataset}{mark}.webp"
    (out_dir / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sheet, out_dir / place)
    try:
        told = json.loads(read_text(words))
        images = tuple(_example(one, classes) for one in told["images"])
        return Examples(place, str(told["attack"]), float(told["eps_255"]), float(told["amplified"]), images)
    except (KeyError, TypeError, ValueError):
        raise BenchError(f"{words} does not describe example images; evaluate again to replace it.") from None


def _example(one: dict[str, Any], classes: Sequence[str]) -> Example:
    label = int(one["label"])
    before, after = (
        Prediction(_name(int(one[key]), classes), int(one[key]) == label) for key in ("pred_clean", "pred")
    )
    return Example(str(one["sample_id"]), _name(label, classes), before, after)


def _name(label: int, classes: Sequence[str]) -> str:
    if label < 0:
        return "abstained"
    return classes[label].replace("_", " ") if label < len(classes) else f"class {label}"
