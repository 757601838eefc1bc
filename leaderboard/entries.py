"""An entry's rows: all those of one submission on one data set, official and unofficial ones apart.

Rows of a large board do not fit into memory together. They are read track by track when something asks for them, and
let go again; what functions compute of an entry is small and is remembered.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

import pandas as pd

from benchmark.matrix.rules import rules
from benchmark.results.schema import DIAGNOSTIC, SCHEMA, WITHOUT_ATTACKER
from leaderboard.rows import Source, read_columns, read_track, sources, to_frame

FACTS = (
    *("task", "profile", "split", "submission_hash", "dataset_hash", "matrix_version", "matrix_hash"),
    *("harness_version", "git_commit", "device", "isolation", "started_at"),
)
"""Columns that say how rows were made, of which a track has one value or a few."""


class Held(Protocol):
    """Where an entry's rows are."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders that their files lie in, none of rows in memory."""
        ...

    @property
    def tracks(self) -> tuple[str, ...]:
        """Tracks with rows."""
        ...

    def frame(self, track: str) -> pd.DataFrame:
        """Rows of one of these tracks."""
        ...

    def facts(self, track: str) -> Mapping[str, Sequence[str]]:
        """Distinct, non-empty values of each of :data:`FACTS` in the rows of one of these tracks, sorted."""
        ...


@dataclass(frozen=True, eq=False)
class EntryRows:
    """Rows of one submission on one data set with one ``official`` mark; equal only to itself."""

    submission: str
    dataset: str
    official: bool
    held: Held = field(repr=False)

    @property
    def tracks(self) -> tuple[str, ...]:
        """The board's tracks that have rows, in their order, then unknown ones."""
        there = [track for track in self.held.tracks if track != DIAGNOSTIC]
        return rules().in_order(there)

    @property
    def attack_tracks(self) -> tuple[str, ...]:
        """Those among them that have an attacker."""
        return tuple(track for track in self.tracks if track not in WITHOUT_ATTACKER)

    def track(self, name: str) -> pd.DataFrame:
        """Return the rows of one track; none where it has none. Use them and let them go."""
        return self.held.frame(name) if name in self.held.tracks else _no_rows()

    def attacks(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Go through the attack tracks that have rows."""
        for track in self.attack_tracks:
            yield track, self.held.frame(track)

    def everything(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Go through the board's tracks that have rows."""
        for track in self.tracks:
            yield track, self.held.frame(track)

    def beside(self, name: str) -> Path | None:
        """Return the file of this name beside the entry's rows, None where there is none.

        Only a folder ``DATASET/SUBMISSION`` holds files of one entry alone; any other is not looked into.
        """
        own = [one for one in self.held.folders if one.parts[-2:] == (self.dataset, self.submission)]
        return next((folder / name for folder in reversed(own) if (folder / name).is_file()), None)

    def provenance(self, column: str, tracks: Iterable[str] | None = None) -> list[str]:
        """Return the distinct, non-empty values of one of :data:`FACTS` in some tracks, all when not given; sorted."""
        chosen = self.tracks if tracks is None else [track for track in tracks if track in self.held.tracks]
        return sorted({value for track in chosen for value in self._facts[track][column]})

    @cached_property
    def _facts(self) -> dict[str, Mapping[str, Sequence[str]]]:
        return {track: self.held.facts(track) for track in self.held.tracks}


@dataclass(frozen=True)
class Required:
    """What a matrix asks of an entry.

    Attributes:
        matrix_hash: sha256 of the matrix; entries run under it stand on the board, others beside it.
        tracks: all tracks that a complete entry has.
        cells: names the (track, attack, norm, eps) that an entry must have verdicts for.
        diagnostics_hash: sha256 of the diagnostics that a ranked entry has rows of; empty where none are asked for.
        profiles: the profiles that official rows may be made with; empty where any may.
    """

    matrix_hash: str
    tracks: tuple[str, ...]
    cells: Callable[[EntryRows], set[tuple[str, str, str, float]]]
    diagnostics_hash: str = ""
    profiles: frozenset[str] = frozenset()

    @property
    def attack_tracks(self) -> tuple[str, ...]:
        """The tracks among them that have an attacker."""
        return tuple(track for track in self.tracks if track not in WITHOUT_ATTACKER)


Further = ParamSpec("Further")
Found = TypeVar("Found")


def once_per_entry(
    compute: Callable[Concatenate[EntryRows, Further], Found],
) -> Callable[Concatenate[EntryRows, Further], Found]:
    """Let a function of an entry remember what it gave (treat it as read-only) for as long as the entry lives.

    The ranks, the numbers and the pages all ask for the same few tables of hundreds of thousands of rows. What is
    remembered must be small: no rows.
    """
    known: WeakKeyDictionary[EntryRows, dict[object, Found]] = WeakKeyDictionary()

    @wraps(compute)
    def remembered(entry: EntryRows, /, *args: Further.args, **kwargs: Further.kwargs) -> Found:
        given = known.setdefault(entry, {})
        asked = (args, tuple(kwargs.items()))
        if asked not in given:
            given[asked] = compute(entry, *args, **kwargs)
        return given[asked]

    return remembered


def entries(rows: pd.DataFrame) -> list[EntryRows]:
    """Split rows in memory into entries, sorted by data set, submission, unofficial ones last."""
    if rows.empty:
        return []
    keys = ["dataset", "submission", "official"]
    grouped = rows.groupby(keys, observed=True, sort=False)
    found = [
        EntryRows(str(submission), str(dataset), bool(official), _InMemory(part.reset_index(drop=True)))
        for (dataset, submission, official), part in grouped
    ]
    return sorted(found, key=_order)


def entries_in(
    folders: Iterable[Path | str],
    datasets: Sequence[str] = (),
    submissions: Sequence[str] = (),
    unofficial: Iterable[Path | str] = (),
    broken: dict[Path, str] | None = None,
) -> list[EntryRows]:
    """Find the entries in results folders, sorted as by :func:`entries`; their rows are read when asked for.

    Args:
        folders: results folders; the later one wins where two hold the same unit.
        datasets, submissions: only these; all when empty.
        unofficial: folders whose rows count as unofficial whatever they say, and replace other unofficial ones of the
            same submission and data set.
        broken: as in :func:`leaderboard.rows.sources`.

    Raises:
        BenchError: as :func:`leaderboard.rows.sources`.
    """
    found: dict[tuple[str, str, bool], dict[str, list[Source]]] = {}
    for source in sources(folders, datasets, submissions, broken):
        key = (source.submission, source.dataset, source.official)
        found.setdefault(key, {}).setdefault(source.track, []).append(source)
    fresh: dict[tuple[str, str, bool], dict[str, list[Source]]] = {}
    for source in sources(unofficial, datasets, submissions, broken):
        fresh.setdefault((source.submission, source.dataset, False), {}).setdefault(source.track, []).append(source)
    found.update(fresh)
    made = [EntryRows(name, dataset, official, _InFiles(held)) for (name, dataset, official), held in found.items()]
    return sorted(made, key=_order)


def is_named(rows: pd.DataFrame) -> pd.Series:
    """Tell which rows name an image."""
    return rows["sample_id"].notna() & (rows["sample_id"] != "")


def is_unit_wide(rows: pd.DataFrame) -> pd.Series:
    """Tell which rows are gaps of a whole unit: they name no cell, no sequence, or not even an image."""
    cellless = (rows["track"] != "clean") & (rows["attack"].isna() | (rows["attack"] == "none"))
    return ~is_named(rows) | ((rows["status"] == "gap") & (rows["label"].isna() | cellless))


def _order(entry: EntryRows) -> tuple[str, str, bool]:
    return (entry.dataset, entry.submission, not entry.official)


def _no_rows() -> pd.DataFrame:
    return to_frame(SCHEMA.empty_table())


class _InMemory:
    """Rows of a table in memory."""

    def __init__(self, rows: pd.DataFrame) -> None:
        grouped = rows.groupby("track", observed=True, sort=False)
        self._frames = {str(name): part.reset_index(drop=True) for name, part in grouped}

    @property
    def folders(self) -> tuple[Path, ...]:
        return ()

    @property
    def tracks(self) -> tuple[str, ...]:
        return tuple(self._frames)

    def frame(self, track: str) -> pd.DataFrame:
        return self._frames[track]

    def facts(self, track: str) -> Mapping[str, Sequence[str]]:
        frame = self._frames[track]
        return {name: sorted({str(v) for v in frame[name].dropna().unique() if str(v)}) for name in FACTS}


_KEPT = 8
"""Tracks whose rows stay in memory after somebody has asked for them."""

_frames: OrderedDict[tuple[Source, ...], pd.DataFrame] = OrderedDict()


class _InFiles:
    """Rows that are read from their files when asked for."""

    def __init__(self, held: Mapping[str, Sequence[Source]]) -> None:
        self._held = {track: tuple(parts) for track, parts in held.items()}

    @property
    def folders(self) -> tuple[Path, ...]:
        places = (source.path.resolve().parent for parts in self._held.values() for source in parts)
        return tuple(dict.fromkeys(places))

    @property
    def tracks(self) -> tuple[str, ...]:
        return tuple(self._held)

    def frame(self, track: str) -> pd.DataFrame:
        held = self._held[track]
        if held not in _frames:
            _frames[held] = read_track(held)
            while len(_frames) > _KEPT:
                _frames.popitem(last=False)
        _frames.move_to_end(held)
        return _frames[held]

    def facts(self, track: str) -> Mapping[str, Sequence[str]]:
        return read_columns(self._held[track], FACTS)
