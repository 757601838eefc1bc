"""What sparing costs in truth and saves in work: the same entries' rows with and without ``--individual``."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.results.schema import ATTACK_TRACKS, NORMS
from leaderboard.costs import costs
from leaderboard.entries import is_unit_wide

_PAIR = ["submission", "submission_hash", "dataset", "matrix_hash", "profile"]
"""Rows are compared where these agree."""

_IMAGE = [*_PAIR, "track", "norm", "sample_id"]


@dataclass(frozen=True)
class Spent:
    """What the counted cells spent in all: seconds, forward and backward passes; copied rows are counted once."""

    seconds: float
    queries: float
    gradients: float


@dataclass(frozen=True)
class Comparison:
    """Worst cases of one track, norm and budget over the counted cells, image by image.

    Attributes:
        entries: entries (submission and data set) compared.
        images: images judged in both runs, summed over entries.
        missed: images that fell only where every cell attacked every image.
        only_sparing: images that fell only in the sparing run; attacks are randomised per image alone, so this and
            ``missed`` are what a cell does at other budgets or after others.
        sparing, individual: what either run spent at this budget.
    """

    track: str
    norm: str
    eps_255: float
    entries: int
    images: int
    missed: int
    only_sparing: int
    sparing: Spent
    individual: Spent


def compare(sparing: pd.DataFrame, individual: pd.DataFrame) -> list[Comparison]:
    """Compare sparing rows with individual ones of the same entries, data sets, images, profile and matrix.

    An image stands at a budget when it is right under every counted cell there and below, for balls are nested.
    Images with a gap in either run are left out.

    Args:
        sparing: rows from :func:`leaderboard.rows.read_rows`; where official and other rows of an entry are among
            them, the official ones are taken.
        individual: rows of ``--individual`` runs.
    """
    ours, theirs = _counted(sparing), _counted(individual)
    if ours.empty or theirs.empty:
        return []
    best = ours.groupby(_PAIR, observed=True)["official"].transform("max")
    ours = ours[ours["official"] == best]
    right, right_alone = _standing(ours), _standing(theirs)
    shared = right.index.intersection(right_alone.index)
    right, right_alone = right.loc[shared], right_alone.loc[shared]
    spent, spent_alone = _spent(ours, shared), _spent(theirs, shared)
    found = []
    for eps in right.columns.intersection(right_alone.columns):
        both = pd.DataFrame({"one": right[eps], "other": right_alone[eps]}).dropna().reset_index()
        for (track, norm), part in both.groupby(["track", "norm"], sort=False):
            one, other = part["one"].astype(bool), part["other"].astype(bool)
            key = (str(track), str(norm), float(eps))
            found.append(
                Comparison(
                    *key,
                    entries=len(part[_PAIR].drop_duplicates()),
                    images=len(part),
                    missed=int((one & ~other).sum()),
                    only_sparing=int((other & ~one).sum()),
                    sparing=spent.get(key, Spent(0.0, 0.0, 0.0)),
                    individual=spent_alone.get(key, Spent(0.0, 0.0, 0.0)),
                )
            )
    return sorted(found, key=lambda one: (ATTACK_TRACKS.index(one.track), NORMS.index(one.norm), one.eps_255))


def _counted(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of cells that enter worst cases, without images that have a gap; text is plain text."""
    rows = rows[rows["track"].isin(ATTACK_TRACKS) & ~rows["informative"] & ~is_unit_wide(rows)]
    rows = rows.assign(**{name: rows[name].astype(object) for name in _IMAGE})
    gaps = pd.MultiIndex.from_frame(rows.loc[rows["status"] != "ok", _IMAGE])
    return rows[~pd.MultiIndex.from_frame(rows[_IMAGE]).isin(gaps)]


def _standing(rows: pd.DataFrame) -> pd.DataFrame:
    """Return per image and budget 1.0 where it stands, 0.0 where it fell there or below, NaN without that budget."""
    by_eps = rows.assign(correct=rows["correct"].astype(float)).pivot_table(
        index=_IMAGE, columns="eps_255", values="correct", aggfunc="min"
    )
    return by_eps.sort_index(axis=1).cummin(axis=1)


def _spent(rows: pd.DataFrame, images: "pd.Index[Any]") -> dict[tuple[str, str, float], Spent]:
    """Sum up, per track, norm and budget, what was spent on these images."""
    rows = rows[pd.MultiIndex.from_frame(rows[_IMAGE]).isin(images)]
    sums: dict[tuple[str, str, float], Spent] = {}
    for eps, part in rows.groupby("eps_255"):
        for one in costs(part):
            key = (one.track, one.norm, float(str(eps)))
            before = sums.get(key, Spent(0.0, 0.0, 0.0))
            sums[key] = Spent(
                before.seconds + one.seconds,
                before.queries + one.queries * one.attacked,
                before.gradients + one.gradients * one.attacked,
            )
    return sums
