"""Per-image verdicts of one entry under every attack cell, and the worst case over any set of cells.

``scores`` holds for image i and cell c the share of the judge's draws in which the deployed defense was right (0 or 1
for a deterministic defense), 0 for an image that is wrong already when clean, and NaN where there is no verdict.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.results.schema import ATTACK_TRACKS
from leaderboard.bootstrap import Floats
from leaderboard.entries import Entry, RequiredCells, is_unit_wide

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
    """Scores of an entry's attacked images: ``scores`` is (images, cells), see the module's text."""

    images: list[str]
    groups: list[str]
    cells: list[CellKey]
    suites: list[str]
    individual: list[bool]
    scores: Floats
    clean: Floats

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


def clean_scores(entry: Entry) -> pd.Series:
    """Return the share of right draws on each clean image, indexed by sample id; images without a verdict left out."""
    rows = entry.track("clean")
    rows = rows[(rows["status"] == "ok") & ~is_unit_wide(rows)]
    return pd.Series(draw_share(rows), index=rows["sample_id"].astype(str).to_numpy(), dtype=np.float64)


def _wrong_when_clean(rows: pd.DataFrame, entry: Entry) -> Bools:
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


def _row_scores(rows: pd.DataFrame, entry: Entry) -> Floats:
    """Score each attack row: share of right draws, 0 when wrong clean, NaN for gaps.

    A spared row was not judged itself. Its verdict is given; the share of draws behind the verdict is that of the row
    it follows from where the harness copied it, else that of the row named in ``broken_by``, else the verdict.
    """
    verdict = rows["correct"].to_numpy(dtype=np.float64)
    share = draw_share(rows)
    spared = rows["spared"].to_numpy(dtype=bool)
    wrong = _wrong_when_clean(rows, entry)
    agrees = (share >= 0.5) == (verdict >= 0.5)
    scores = np.where(spared & ~agrees, verdict, share)
    scores[wrong] = 0.0
    stochastic = bool((rows["draws"].to_numpy(dtype=np.float64) > 1).any())
    if stochastic:
        fallen = spared & ~wrong & rows["right_draws"].isna().to_numpy() & (verdict == 0)
        scores[fallen] = _scores_of_breakers(rows, scores, fallen)
    scores[(rows["status"] != "ok").to_numpy()] = np.nan
    return scores


def _scores_of_breakers(rows: pd.DataFrame, scores: Floats, fallen: Bools) -> Floats:
    judged = ((rows["status"] == "ok") & ~rows["spared"]).to_numpy()
    names = rows["attack"].astype(str) + "@" + rows["eps_255"].map(lambda eps: f"{eps:g}")
    keys = pd.MultiIndex.from_arrays([rows["sample_id"].astype(str), names])
    known = pd.Series(scores[judged], index=keys[judged]).groupby(level=[0, 1]).min()
    breakers = rows["broken_by"].astype(object).fillna("").astype(str).str.replace(r"\.0$", "", regex=True)
    wanted = pd.MultiIndex.from_arrays([rows["sample_id"].astype(str), breakers])[fallen]
    return np.asarray(known.reindex(wanted).fillna(0.0), dtype=np.float64)


def verdicts(entry: Entry, required: RequiredCells | None = None) -> Verdicts:
    """Collect an entry's verdicts; cells named by ``required`` that have no rows become columns without a verdict."""
    rows = entry.rows[entry.rows["track"].isin(ATTACK_TRACKS)]
    rows = rows[~is_unit_wide(rows)]
    samples, image_index = np.unique(rows["sample_id"].astype(str).to_numpy(), return_inverse=True)
    by_cell = rows.groupby(["track", "attack", "norm", "eps_255"], observed=True, sort=False)
    about = by_cell.agg(suite=("suite", "first"), individual=("individual", "all"))
    found = [CellKey(str(t), str(a), str(n), float(e)) for t, a, n, e in about.index]
    cells = sorted({*found, *(CellKey(*cell) for cell in (required(entry) if required else set()))})
    position = {cell: index for index, cell in enumerate(cells)}
    scores = np.full((len(samples), len(cells)), np.nan)
    suites, individual = [""] * len(cells), [True] * len(cells)
    for cell, suite, alone in zip(found, about["suite"], about["individual"], strict=True):
        suites[position[cell]] = suite if isinstance(suite, str) else ""
        individual[position[cell]] = bool(alone)
    groups = np.empty(len(samples), dtype=object)
    if len(rows):
        column = np.array([position[cell] for cell in found])[by_cell.ngroup().to_numpy()]
        scores[image_index, column] = _row_scores(rows, entry)
        groups[image_index] = rows["group_id"].astype(object).fillna(rows["sample_id"]).to_numpy()
    clean = clean_scores(entry)
    on_subset = clean[~clean.index.duplicated()].reindex(samples).to_numpy(dtype=np.float64)
    return Verdicts(samples.tolist(), [str(group) for group in groups], cells, suites, individual, scores, on_subset)
