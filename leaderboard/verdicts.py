"""Per-image verdicts of one entry under every attack cell, and the worst case over any set of cells.

``scores`` holds for image i and cell c the share of the judge's draws in which the deployed defense was right (0 or 1
for a deterministic defense), 0 for an image that is wrong already when clean, and NaN where there is no verdict.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leaderboard.bootstrap import Floats
from leaderboard.entries import EntryRows, Required, is_named, is_unit_wide, once_per_entry
from leaderboard.requirements import in_force

Bools = NDArray[np.bool_]


@dataclass(frozen=True, order=True)
class CellKey:
    """One attack cell of an entry."""

    track: str
    attack: str
    norm: str
    eps_255: float


@dataclass(frozen=True)
class Verdicts:
    """Scores of an entry's attacked images: ``scores`` is (images, cells), see the module's text.

    ``individual`` tells of each cell whether it attacked every image by itself, ``unranked`` whether it stays out of
    the worst case. ``untried`` is (images, cells): where a run left an image to other attacks and counts it as robust.
    """

    images: list[str]
    groups: list[str]
    cells: list[CellKey]
    suites: list[str]
    individual: list[bool]
    unranked: list[bool]
    scores: Floats
    untried: Bools
    clean: Floats

    def ranked(self, columns: Iterable[int]) -> list[int]:
        """Return the cells among these that enter the worst case."""
        return [column for column in columns if not self.unranked[column]]

    def at(self, norm: str, eps_255: float, track: str = "") -> list[int]:
        """Return the ranked cells at a budget, of one track where it is named."""
        met = (i for i, cell in enumerate(self.cells) if (cell.norm, cell.eps_255) == (norm, eps_255))
        return self.ranked(i for i in met if track in ("", self.cells[i].track))

    def skips(self, columns: Iterable[int]) -> bool:
        """Tell whether the worst case over some cells is an upper bound: a robust image was not tried by one of them.

        Below its largest budget an expensive cell leaves images to others, in a run that skips work.
        """
        chosen = list(columns)
        robust = self.worst(chosen)[0] > 0
        return bool((robust & self.untried[:, chosen].any(axis=1)).any())

    def worst(self, columns: Iterable[int]) -> tuple[Floats, Bools]:
        """Return per image the worst score over some cells and whether each of them gave a verdict.

        An image without a verdict in any one of the cells scores 0: missing evidence never counts as robust.
        """
        part = self.scores[:, list(columns)]
        if part.shape[1] == 0:
            return np.zeros(len(part)), np.zeros(len(part), dtype=np.bool_)
        complete = np.isfinite(part).all(axis=1)
        return np.nan_to_num(part, nan=0.0).min(axis=1), np.asarray(complete)


def draw_share(rows: pd.DataFrame) -> Floats:
    """Return the share of right draws per row, in [0, 1]; the verdict itself where draws were not recorded."""
    correct = rows["correct"].to_numpy(dtype=np.float64)
    draws = rows["draws"].to_numpy(dtype=np.float64)
    right = rows["right_draws"].to_numpy(dtype=np.float64)
    repeated = np.isfinite(draws) & np.isfinite(right) & (draws > 1)
    return np.asarray(np.where(repeated, right / np.where(repeated, draws, 1.0), correct), dtype=np.float64)


@once_per_entry
def clean_scores(entry: EntryRows) -> pd.Series:
    """Return the share of right draws on each clean image, indexed by sample id; images without a verdict left out."""
    rows = entry.track("clean")
    rows = rows[(rows["status"] == "ok") & ~is_unit_wide(rows)]
    return pd.Series(draw_share(rows), index=rows["sample_id"].astype(str).to_numpy(), dtype=np.float64)


def _wrong_when_clean(rows: pd.DataFrame, entry: EntryRows) -> Bools:
    """Tell which rows belong to images that the deployed defense gets wrong without any attack.

    The clean track decides by its verdict; without a clean row the attack row's own clean label does.
    """
    clean = entry.track("clean")
    clean = clean[(clean["status"] == "ok") & ~is_unit_wide(clean)]
    verdict = pd.Series(clean["correct"].to_numpy(dtype=bool), index=clean["sample_id"].astype(str).to_numpy())
    by_track = verdict.reindex(rows["sample_id"].astype(str).to_numpy())
    known = by_track.notna().to_numpy()
    own = (rows["pred_clean"] != rows["label"]).to_numpy(dtype=bool)
    return np.where(known, ~by_track.fillna(True).to_numpy(dtype=bool), own)


def row_scores(rows: pd.DataFrame, entry: EntryRows) -> Floats:
    """Score each attack row of an entry, (rows,): share of right draws, 0 when wrong clean, NaN for gaps.

    A skipped row repeats the draws of the row that its verdict follows from. That is a measurement at the budget at
    which the image was broken, but at larger budgets it is only known to be misclassified: there it scores 0, since
    what was not measured never counts for the defense.
    """
    scores = draw_share(rows)
    # There are a handful of distinct texts in hundreds of thousands of rows.
    codes, texts = pd.factorize(rows["broken_by"])
    budgets = pd.to_numeric(pd.Series([*map(str, texts), ""]).str.rpartition("@")[2], "coerce")
    broken_at = budgets.to_numpy(dtype=np.float64)[codes]
    broken_before = rows["skipped"] & ~rows["correct"] & ~(broken_at >= rows["eps_255"])
    scores[broken_before.to_numpy(dtype=bool) | _wrong_when_clean(rows, entry)] = 0.0
    scores[(rows["status"] != "ok").to_numpy()] = np.nan
    return scores


@once_per_entry
def verdicts(entry: EntryRows, required: Required | None = None) -> Verdicts:
    """Collect an entry's verdicts; a required cell without rows becomes a column without a verdict.

    ``required`` defaults to the matrix in force.
    """
    needed = (required or in_force()).cells(entry)
    parts = [_of_track(entry, rows) for _, rows in entry.attacks()]
    groups = {name: group for part in parts for name, group in part.groups.items()}
    samples = sorted(groups)
    about = {cell: one for part in parts for cell, one in part.cells.items()}
    cells = sorted({*about, *(CellKey(*cell) for cell in needed)})
    scores = np.full((len(samples), len(cells)), np.nan)
    untried = np.zeros(scores.shape, dtype=np.bool_)
    position = {cell: index for index, cell in enumerate(cells)}
    row = pd.Index(samples)
    for part in parts:
        columns = np.array([position[cell] for cell in part.cells], dtype=np.int64)
        if len(part.scores):
            place = row.get_indexer(pd.Index(part.samples)), columns[part.column]
            scores[place], untried[place] = part.scores, part.untried
    unknown = About("", True, False)
    told = [about.get(cell, unknown) for cell in cells]
    clean = clean_scores(entry)
    on_subset = clean[~clean.index.duplicated()].reindex(samples).to_numpy(dtype=np.float64)
    return Verdicts(
        samples,
        [groups[name] for name in samples],
        cells,
        [one.suite for one in told],
        [one.individual for one in told],
        [one.unranked for one in told],
        scores,
        untried,
        on_subset,
    )


@dataclass(frozen=True)
class About:
    """What the rows of a cell have in common."""

    suite: str
    individual: bool
    unranked: bool


@dataclass(frozen=True)
class _Part:
    """Verdicts of one track: one score per row, at (sample, column of ``cells``)."""

    groups: dict[str, str]
    cells: dict[CellKey, About]
    samples: list[str]
    column: NDArray[np.int64]
    scores: Floats
    untried: Bools


def _of_track(entry: EntryRows, rows: pd.DataFrame) -> _Part:
    rows = rows[is_named(rows)]
    group = rows["group_id"].astype(object).fillna(rows["sample_id"]).astype(str)
    groups = dict(zip(rows["sample_id"].astype(str), group, strict=True))
    rows = rows[~is_unit_wide(rows).to_numpy(dtype=bool)]
    by_cell = rows.groupby(["track", "attack", "norm", "eps_255"], observed=True, sort=False)
    about = by_cell.agg(suite=("suite", "first"), individual=("individual", "all"), beside=("unranked", "all"))
    cells = {
        CellKey(str(t), str(a), str(n), float(e)): About(
            suite if isinstance(suite, str) else "", bool(alone or beside), bool(beside)
        )
        for (t, a, n, e), suite, alone, beside in zip(
            about.index, about["suite"], about["individual"], about["beside"], strict=True
        )
    }
    column = np.asarray(by_cell.ngroup().to_numpy() if len(rows) else [], dtype=np.int64)
    scores = row_scores(rows, entry) if len(rows) else np.zeros(0)
    untried = (rows["skipped"] & rows["correct"] & (rows["status"] == "ok")).to_numpy(dtype=np.bool_)
    return _Part(groups, cells, rows["sample_id"].astype(str).tolist(), column, scores, untried)
