"""An entry: all rows of one submission on one data set, official and unofficial ones apart."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import pandas as pd

from benchmark.results.schema import ATTACK_TRACKS


@dataclass(frozen=True, eq=False)
class Entry:
    """Rows of one submission on one data set with one ``official`` mark; equal only to itself."""

    submission: str
    dataset: str
    official: bool
    rows: pd.DataFrame

    def track(self, name: str) -> pd.DataFrame:
        """Return the rows of one track."""
        return self._tracks[name] if name in self._tracks else self.rows.iloc[:0]

    @cached_property
    def _tracks(self) -> dict[str, pd.DataFrame]:
        return {str(name): part for name, part in self.rows.groupby("track", observed=True, sort=False)}

    def provenance(self, column: str) -> list[str]:
        """Return the distinct, non-empty values of a column, sorted."""
        values = self.rows[column].dropna().unique().tolist()
        return sorted({str(value) for value in values if str(value)})

    @property
    def task(self) -> str:
        """Task of the data set, 'multiclass' when no row tells."""
        return next(iter(self.provenance("task")), "multiclass")


@dataclass(frozen=True)
class Required:
    """What a matrix asks of an entry.

    Attributes:
        matrix_hash: sha256 of the matrix; entries run under it stand on the board, others beside it.
        tracks: all tracks that a complete entry has.
        cells: names the (track, attack, norm, eps) that an entry must have verdicts for.
    """

    matrix_hash: str
    tracks: tuple[str, ...]
    cells: Callable[[Entry], set[tuple[str, str, str, float]]]

    @property
    def attack_tracks(self) -> tuple[str, ...]:
        """The tracks among them that have an attacker."""
        return tuple(track for track in self.tracks if track in ATTACK_TRACKS)


Further = ParamSpec("Further")
Found = TypeVar("Found")


def once_per_entry(
    compute: Callable[Concatenate[Entry, Further], Found],
) -> Callable[Concatenate[Entry, Further], Found]:
    """Let a function of an entry remember what it gave (treat it as read-only) for as long as the entry lives.

    The ranks, the numbers and the pages all ask for the same few tables of hundreds of thousands of rows.
    """
    known: WeakKeyDictionary[Entry, dict[object, Found]] = WeakKeyDictionary()

    @wraps(compute)
    def remembered(entry: Entry, /, *args: Further.args, **kwargs: Further.kwargs) -> Found:
        given = known.setdefault(entry, {})
        asked = (args, tuple(kwargs.items()))
        if asked not in given:
            given[asked] = compute(entry, *args, **kwargs)
        return given[asked]

    return remembered


def entries(rows: pd.DataFrame) -> list[Entry]:
    """Split rows into entries, sorted by data set, submission, unofficial ones last."""
    if rows.empty:
        return []
    keys = ["dataset", "submission", "official"]
    grouped = rows.groupby(keys, observed=True, sort=False)
    found = [
        Entry(str(submission), str(dataset), bool(official), part.reset_index(drop=True))
        for (dataset, submission, official), part in grouped
    ]
    return sorted(found, key=lambda entry: (entry.dataset, entry.submission, not entry.official))


def is_named(rows: pd.DataFrame) -> pd.Series:
    """Tell which rows name an image."""
    return rows["sample_id"].notna() & (rows["sample_id"] != "")


def is_unit_wide(rows: pd.DataFrame) -> pd.Series:
    """Tell which rows are gaps of a whole unit: they name no cell, no frame, or not even an image."""
    cellless = (rows["track"] != "clean") & (rows["attack"].isna() | (rows["attack"] == "none"))
    return ~is_named(rows) | ((rows["status"] == "gap") & (rows["label"].isna() | cellless))
