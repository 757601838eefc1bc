"""Which cells of the matrix decide: the images that a cell felled and that no other counted cell had felled.

In a sparing run a cell attacks only what earlier cells left standing at that budget and below, so whatever it fells it
felled first: without it, at that point of the run, the worst case would have been better. A cell that felled nobody
first has changed no worst case. In an ``--individual`` run, where every cell attacks every image, the images count that
a cell alone felled: no other counted cell of its track and norm did at that budget or below, for balls are nested.
Informative cells attack every image in both; of them the same is told as if they had counted.
"""

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from benchmark.errors import BenchError
from benchmark.matrix import Cell, Matrix
from benchmark.results.schema import ATTACK_TRACKS, NORMS
from leaderboard.bootstrap import Floats
from leaderboard.entries import Entry, entries, is_unit_wide
from leaderboard.rows import parquet_files, read_rows
from leaderboard.verdicts import Bools, clean_scores, draw_share

_PLACE = ["entry", "track", "norm", "sample_id"]
"""Where balls are nested: an image of an entry in one track and norm."""

_CELL = ["own_track", "attack", "norm"]


@dataclass(frozen=True)
class Evidence:
    """What one cell did over all entries, data sets and budgets; an image counts once at each budget.

    Rows that another track lent (``same_as``) are one attack: they count once, for the cell that computed them, and
    ``decided_in`` names every track whose worst case they changed, or would have changed had the cell counted.

    Attributes:
        informative: the matrix keeps the cell out of the worst case.
        attacked: images right when clean that the cell attacked.
        felled: those among them on which the deployed defense is right in fewer than half of the draws.
        first: those that decide, see the module's text; of an informative cell, those that no counted cell felled.
        entries: entries (submission and data set) with such images.
        largest_eps_255: the largest budget with such images, None without any.
        first_at_largest: how many there.
        lowered: standing images of randomised defenses of which the cell alone measured the lowest share of right
            draws, which is what their worst case averages.
    """

    track: str
    attack: str
    norm: str
    informative: bool
    attacked: int
    felled: int
    first: int
    entries: int
    largest_eps_255: float | None
    first_at_largest: int
    lowered: int
    decided_in: tuple[str, ...]

    @property
    def idle(self) -> bool:
        """A counted cell that has decided nothing so far."""
        return not self.informative and self.first == 0


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


def studies(rows: pd.DataFrame) -> list[Study]:
    """Sum up what every cell of every matrix decided.

    Args:
        rows: from :func:`leaderboard.rows.read_rows`; sparing and individual ones are told apart.
    """
    found = []
    keys = ["matrix_version", "matrix_hash", "individual"]
    for (version, digest, individual), part in rows.groupby(keys, observed=True, sort=True):
        members = [entry for entry in entries(part) if entry.rows["track"].isin(ATTACK_TRACKS).any()]
        if members:
            names = dict.fromkeys(f"{entry.submission} on {entry.dataset}" for entry in members)
            cells = _evidence(members, bool(individual))
            found.append(Study(str(version), str(digest), bool(individual), tuple(names), cells))
    return found


def read_runs(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a results folder in which sparing and individual rows of one entry may lie; return them in this order.

    Raises:
        BenchError: as :func:`leaderboard.rows.read_rows` has it, for either kind of rows.
    """
    files = parquet_files(folder)
    alone = [bool(read_rows([file])["individual"].any()) for file in files]
    sparing, individual = (
        _read_once(folder, [file for file, own in zip(files, alone, strict=True) if own == kind])
        for kind in (False, True)
    )
    return sparing, individual


def _read_once(folder: Path, files: list[Path]) -> pd.DataFrame:
    rows = read_rows(files)
    if len(rows) < sum(pq.ParquetFile(file).metadata.num_rows for file in files):
        raise BenchError(f"some rows occur twice in {folder}; delete the older file, or name a folder inside it.")
    return rows


@dataclass(frozen=True)
class Standing:
    """What the official rows say of the counted cells of one matrix.

    Attributes:
        entries: the entries with rows under it, as ``submission on data set``; empty as long as there are none.
        counted: number of counted cells.
        idle: counted cells that have felled nobody first, with their evidence; None for one that no entry met.
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


def official_standing(rows: pd.DataFrame, matrix: Matrix, digest: str) -> Standing:
    """Find the counted cells of a matrix that changed no worst case in the official rows made with it.

    Args:
        rows: any rows; unofficial ones and those of other matrices are left out.
        matrix: the matrix.
        digest: its sha256.
    """
    mine = rows["official"].to_numpy(dtype=bool) & (rows["matrix_hash"].astype(object) == digest).to_numpy(dtype=bool)
    counted = [cell for cell in matrix.cell if not cell.informative]
    study = next((study for study in studies(rows[mine]) if not study.individual), None)
    if study is None:
        return Standing((), len(counted), ())
    told = {(one.track, one.attack): one for one in study.cells}
    idle = [(cell, told.get((cell.track, cell.name))) for cell in counted]
    return Standing(study.entries, len(counted), tuple((cell, one) for cell, one in idle if one is None or one.idle))


def noted(one: Evidence | None) -> str:
    """Return in words what an idle cell did; empty of None, a cell that no entry met."""
    if one is None:
        return ""
    if not one.attacked:
        return "nothing was left for it to attack"
    told = f"it felled none of the {one.attacked:,} images that it attacked, counted once at each budget"
    if one.lowered:
        told += f", but has the lowest share of right draws of a randomised defense on {one.lowered} standing ones"
    return told


def _evidence(members: Iterable[Entry], individual: bool) -> tuple[Evidence, ...]:
    rows = pd.concat([_attacks(entry) for entry in members], ignore_index=True)
    counted = ~rows["informative"].to_numpy(dtype=bool)
    ran, wrong = rows["ran"].to_numpy(dtype=bool), rows["wrong"].to_numpy(dtype=bool)
    fell = ran & wrong
    before = np.nan_to_num(_lowest_of_others(rows, counted & wrong, _PLACE, "eps_255"), nan=np.inf)
    # A sparing run asks a counted cell only where no other had felled the image: being asked is the proof.
    decided = fell & ((counted & (not individual)) | (before > rows["eps_255"].to_numpy()))
    lowest = np.nan_to_num(_lowest_of_others(rows, counted & ran, [*_PLACE, "eps_255"], "share"), nan=1.0)
    fallen = (before <= rows["eps_255"].to_numpy()) | wrong
    lowered = ran & ~fallen & (rows["share"].to_numpy() < lowest)
    rows = rows.assign(fell=fell, decided=decided, lowered=lowered)
    tracks = rows[rows["decided"]].groupby(_CELL, sort=False)["track"].agg(set).to_dict()
    attacks = rows.sort_values("ran", ascending=False, kind="stable").drop_duplicates(
        ["entry", *_CELL, "eps_255", "sample_id"]
    )
    found = [_summed(key, part, tracks.get(key, ())) for key, part in attacks.sort_index().groupby(_CELL, sort=False)]
    return tuple(sorted(found, key=lambda one: (ATTACK_TRACKS.index(one.track), NORMS.index(one.norm))))


def _summed(key: tuple[Hashable, ...], part: pd.DataFrame, tracks: Collection[str]) -> Evidence:
    track, attack, norm = map(str, key)
    decided = part[part["decided"]]
    largest = float(decided["eps_255"].max()) if len(decided) else None
    return Evidence(
        track,
        attack,
        norm,
        informative=bool(part["informative"].all()),
        attacked=int(part["ran"].sum()),
        felled=int(part["fell"].sum()),
        first=len(decided),
        entries=int(decided["entry"].nunique()),
        largest_eps_255=largest,
        first_at_largest=int((decided["eps_255"] == largest).sum()),
        lowered=int(part["lowered"].sum()),
        decided_in=tuple(name for name in ATTACK_TRACKS if name in tracks),
    )


def _attacks(entry: Entry) -> pd.DataFrame:
    """Return the verdicts of an entry's cells on images, the few columns that evidence needs."""
    rows = entry.rows[entry.rows["track"].isin(ATTACK_TRACKS)]
    rows = rows[~is_unit_wide(rows) & (rows["status"] == "ok")]
    track = rows["track"].astype(str)
    lent = rows["same_as"].astype(object).fillna("").astype(str)
    right_when_clean = _right_when_clean(rows, entry)
    return pd.DataFrame(
        {
            "entry": f"{entry.submission} on {entry.dataset}, {'official' if entry.official else 'unofficial'}",
            "track": track,
            "own_track": track.where(~lent.isin(ATTACK_TRACKS), lent),
            "attack": rows["attack"].astype(str),
            "norm": rows["norm"].astype(str),
            "eps_255": rows["eps_255"],
            "sample_id": rows["sample_id"].astype(str),
            "informative": rows["informative"],
            "ran": ~rows["spared"] & right_when_clean,
            "wrong": ~rows["correct"] & right_when_clean,
            "share": draw_share(rows),
        }
    )


def _right_when_clean(rows: pd.DataFrame, entry: Entry) -> Bools:
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
