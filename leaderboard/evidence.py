"""Which cells of the matrix decide: the images that a cell broke and that no other counted cell had broken.

In a skipping run a cell attacks only images that earlier cells left unbroken at that budget and below, so it is the
first to break whatever it breaks: without it, at that point of the run, the worst case would have been better. A cell
that was first on no image has changed no worst case. In an ``--individual`` run, where every cell attacks every image,
the images count that a cell alone broke: no other counted cell of its track and norm did at that budget or below, for
balls are nested.
Unranked cells attack every image in both; for them the same is computed as if they were ranked.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.errors import BenchError
from benchmark.matrix import Cell, Matrix
from benchmark.matrix.rules import rules
from benchmark.results.schema import NORMS
from leaderboard.bootstrap import Floats
from leaderboard.entries import EntryRows, entries_in, is_unit_wide
from leaderboard.rows import parquet_files, read_flag, sources
from leaderboard.verdicts import Bools, clean_scores, draw_share

_PLACE = ["track", "norm", "sample_id"]
"""Where balls are nested: an image in one track and norm."""

_CELL = ["own_track", "attack", "norm"]


@dataclass(frozen=True)
class Evidence:
    """What one cell did over all entries, data sets and budgets; an image counts once at each budget.

    Rows that another track lent (``same_as``) are one attack: they count once, for the cell that computed them, and
    ``decided_in`` names every track whose worst case they changed, or would have changed had the cell counted.

    Attributes:
        unranked: the matrix keeps the cell out of the worst case.
        attacked: images right when clean that the cell attacked.
        broken: those among them on which the deployed defense is right in fewer than half of the draws.
        first: those that decide, see the module's text; of an unranked cell, those that no counted cell broke.
        entries: entries (submission and data set) with such images.
        largest_eps_255: the largest budget with such images, None without any.
        first_at_largest: how many there.
        lowered: robust images of randomised defenses of which the cell alone measured the lowest share of right
            draws, which is what their worst case averages.
    """

    track: str
    attack: str
    norm: str
    unranked: bool
    attacked: int
    broken: int
    first: int
    entries: int
    largest_eps_255: float | None
    first_at_largest: int
    lowered: int
    decided_in: tuple[str, ...]

    @property
    def idle(self) -> bool:
        """A counted cell that has decided nothing so far."""
        return not self.unranked and self.first == 0


@dataclass(frozen=True)
class Study:
    """The evidence of all rows that one matrix made in one way.

    Attributes:
        individual: whether every cell attacked every image.
        entries: the entries, as ``submission on data set``.
        cells: every cell with rows, in the order of tracks and norms.
    """

    matrix_version: str
    matrix_hash: str
    individual: bool
    entries: tuple[str, ...]
    cells: tuple[Evidence, ...]


def studies(members: Iterable[EntryRows]) -> list[Study]:
    """Sum up what every cell of every matrix decided, entry by entry.

    Args:
        members: entries; rows of skipping and of individual runs are kept apart.
    """
    sums: dict[tuple[str, str, bool], dict[CellName, _Tally]] = {}
    names: dict[tuple[str, str, bool], dict[str, None]] = {}
    for entry in members:
        rows = _attacks(entry)
        for (version, digest, individual), part in rows.groupby(["version", "hash", "individual"], sort=True):
            key = (str(version), str(digest), bool(individual))
            names.setdefault(key, {})[f"{entry.submission} on {entry.dataset}"] = None
            tallies = sums.setdefault(key, {})
            for cell, tally in _tallies(part, key[2]).items():
                tallies.setdefault(cell, _Tally()).add(tally)
    return [Study(*key, tuple(names[key]), _in_order(tallies)) for key, tallies in sorted(sums.items())]


def runs_in(folder: Path) -> tuple[list[EntryRows], list[EntryRows]]:
    """Find a results folder's entries of skipping and of individual runs, of which it may hold both; in this order.

    Raises:
        BenchError: a file cannot be read, or rows of one kind occur twice.
    """
    files = parquet_files(folder)
    alone = [any(read_flag(file, "individual")) for file in files]
    skipping, individual = (
        _entries_once(folder, [file for file, own in zip(files, alone, strict=True) if own == kind])
        for kind in (False, True)
    )
    return skipping, individual


def _entries_once(folder: Path, files: list[Path]) -> list[EntryRows]:
    units = Counter(source.key for file in files for source in sources([file]))
    if any(count > 1 for count in units.values()):
        raise BenchError(f"some rows occur twice in {folder}; delete the older file, or name a folder inside it.")
    return entries_in(files)


@dataclass(frozen=True)
class OfficialEvidence:
    """What the official rows say of the counted cells of one matrix.

    Attributes:
        entries: the entries with rows under it, as ``submission on data set``; empty as long as there are none.
        counted: number of counted cells.
        idle: counted cells that were first on no image, with their evidence, None without an entry evaluated with one.
    """

    entries: tuple[str, ...]
    counted: int
    idle: tuple[tuple[Cell, Evidence | None], ...]

    def is_idle(self, cell: Cell) -> bool:
        """Tell whether a counted cell has decided no image in the rows."""
        return any((cell.track, cell.name) == (other.track, other.name) for other, _ in self.idle)

    def is_unmet(self, cell: Cell) -> bool:
        """Tell whether a counted cell has met no entry in the rows."""
        return any((cell.track, cell.name) == (other.track, other.name) for other, one in self.idle if one is None)


def official_evidence(members: Iterable[EntryRows], matrix: Matrix, digest: str) -> OfficialEvidence:
    """Find the counted cells of a matrix that changed no worst case in the official rows made with it.

    Args:
        members: any entries; unofficial ones and those of other matrices are left out.
        matrix: the matrix.
        digest: its sha256.
    """
    counted = [cell for cell in matrix.cell if not cell.unranked]
    # One after the other, so that the caller may use an entry's rows while they are in memory.
    mine = (entry for entry in members if entry.official and digest in entry.provenance("matrix_hash"))
    found = [study for study in studies(mine) if study.matrix_hash == digest and not study.individual]
    if not found:
        return OfficialEvidence((), len(counted), ())
    told = {(one.track, one.attack): one for one in found[0].cells}
    # Rows that another track lent are told of with that one's, and decide in both.
    decided = {(track, one.attack) for one in found[0].cells for track in one.decided_in}
    idle = [cell for cell in counted if (cell.track, cell.name) not in decided]
    return OfficialEvidence(
        found[0].entries, len(counted), tuple((cell, told.get((cell.track, cell.name))) for cell in idle)
    )


def noted(one: Evidence | None) -> str:
    """Return in words what an idle cell did; empty of None, a cell that no entry met."""
    if one is None:
        return ""
    if not one.attacked:
        return "nothing was left for it to attack"
    told = f"it broke none of the {one.attacked:,} images that it attacked, counted once at each budget"
    if one.lowered:
        told += f", but has the lowest share of right draws of a randomised defense on {one.lowered} robust ones"
    return told


CellName = tuple[str, str, str]
"""(track that computed it, attack, norm)."""


@dataclass
class _Tally:
    """What one cell did, summed over entries; ``decided`` counts images that decide by budget."""

    unranked: bool = True
    attacked: int = 0
    broken: int = 0
    decided: Counter[float] = field(default_factory=Counter)
    entries: int = 0
    lowered: int = 0
    tracks: set[str] = field(default_factory=set)

    def add(self, other: "_Tally") -> None:
        self.unranked &= other.unranked
        self.attacked += other.attacked
        self.broken += other.broken
        self.decided += other.decided
        self.entries += other.entries
        self.lowered += other.lowered
        self.tracks |= other.tracks


def _tallies(rows: pd.DataFrame, individual: bool) -> dict[CellName, _Tally]:
    """Tell of one entry what each cell did."""
    counted = ~rows["unranked"].to_numpy(dtype=bool)
    ran, wrong = rows["ran"].to_numpy(dtype=bool), rows["wrong"].to_numpy(dtype=bool)
    broke = ran & wrong
    before = np.nan_to_num(_lowest_of_others(rows, counted & wrong, _PLACE, "eps_255"), nan=np.inf)
    # A skipping run asks a counted cell only where no other had broken the image: being asked is the proof.
    decided = broke & ((counted & (not individual)) | (before > rows["eps_255"].to_numpy()))
    lowest = np.nan_to_num(_lowest_of_others(rows, counted & ran, [*_PLACE, "eps_255"], "share"), nan=1.0)
    broken = (before <= rows["eps_255"].to_numpy()) | wrong
    lowered = ran & ~broken & (rows["share"].to_numpy() < lowest)
    rows = rows.assign(broke=broke, decided=decided, lowered=lowered)
    tracks = rows[rows["decided"]].groupby(_CELL, sort=False)["track"].agg(set).to_dict()
    attacks = rows.sort_values("ran", ascending=False, kind="stable").drop_duplicates([*_CELL, "eps_255", "sample_id"])
    found = {}
    for key, part in attacks.sort_index().groupby(_CELL, sort=False):
        track, attack, norm = map(str, key)
        budgets = Counter(float(eps) for eps in part.loc[part["decided"], "eps_255"])
        found[(track, attack, norm)] = _Tally(
            bool(part["unranked"].all()), int(part["ran"].sum()), int(part["broke"].sum()), budgets,
            int(bool(budgets)), int(part["lowered"].sum()), set(tracks.get(key, ())),
        )  # fmt: skip
    return found


def _in_order(tallies: Mapping[CellName, _Tally]) -> tuple[Evidence, ...]:
    found = [_evidence(cell, tally) for cell, tally in tallies.items()]
    return tuple(sorted(found, key=lambda one: (rules().place_of(one.track), NORMS.index(one.norm))))


def _evidence(cell: CellName, tally: _Tally) -> Evidence:
    largest = max(tally.decided, default=None)
    return Evidence(
        *cell,
        unranked=tally.unranked,
        attacked=tally.attacked,
        broken=tally.broken,
        first=tally.decided.total(),
        entries=tally.entries,
        largest_eps_255=largest,
        first_at_largest=0 if largest is None else tally.decided[largest],
        lowered=tally.lowered,
        decided_in=rules().in_order(tally.tracks),
    )


def _attacks(entry: EntryRows) -> pd.DataFrame:
    """Return the verdicts of an entry's cells on images, the few columns that evidence needs."""
    parts = [_attacks_of(entry, rows) for _, rows in entry.attacks()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["version", "hash", "individual"])


def _attacks_of(entry: EntryRows, rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[~is_unit_wide(rows) & (rows["status"] == "ok")]
    track = rows["track"].astype(str)
    lent = rows["same_as"].astype(object).fillna("").astype(str)
    right_when_clean = _right_when_clean(rows, entry)
    return pd.DataFrame(
        {
            "version": rows["matrix_version"].astype(str),
            "hash": rows["matrix_hash"].astype(str),
            "individual": rows["individual"].astype(bool),
            "track": track,
            "own_track": track.where(lent == "", lent),
            "attack": rows["attack"].astype(str),
            "norm": rows["norm"].astype(str),
            "eps_255": rows["eps_255"],
            "sample_id": rows["sample_id"].astype(str),
            "unranked": rows["unranked"],
            "ran": ~rows["skipped"] & right_when_clean,
            "wrong": ~rows["correct"] & right_when_clean,
            "share": draw_share(rows),
        }
    )


def _right_when_clean(rows: pd.DataFrame, entry: EntryRows) -> Bools:
    """Tell which rows belong to images that are right when clean: the clean track decides, without it the row."""
    clean = clean_scores(entry)
    share = clean[~clean.index.duplicated()].reindex(rows["sample_id"].astype(str).to_numpy()).to_numpy()
    own = (rows["pred_clean"] == rows["label"]).to_numpy(dtype=bool)
    return np.where(np.isnan(share), own, share >= 0.5)


def _lowest_of_others(rows: pd.DataFrame, candidates: Bools, place: list[str], value: str) -> Floats:
    """Return for every row the lowest ``value`` of other cells' candidates at its place; NaN without any."""
    each = rows[candidates].groupby([*place, "attack"], sort=False)[value].min().reset_index()
    by_place = each.sort_values(value, kind="stable").groupby(place, sort=False)
    best, second = (by_place.nth(rank).set_index(place) for rank in (0, 1))
    here = pd.MultiIndex.from_frame(rows[place])
    own = best["attack"].reindex(here).to_numpy() == rows["attack"].to_numpy()
    return np.where(own, second[value].reindex(here), best[value].reindex(here)).astype(np.float64)
