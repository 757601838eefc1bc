"""Success of a black-box attack against its query budget, read from the queries that each success took."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.matrix.rules import rules
from leaderboard.bootstrap import bootstrap, interval
from leaderboard.entries import EntryRows

BUDGETS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
"""Query budgets at which curves are read."""


@dataclass(frozen=True)
class QueryCurve:
    """Share of the images that a cell attacked at 8/255 and that still stood within so many queries.

    Attributes:
        attack: the cell.
        points: (queries per image, share robust, low, high) up to the cell's own budget.
        n: images that the cell attacked; those that other cells broke before it are not among them.
    """

    attack: str
    points: tuple[tuple[float, float, float, float], ...]
    n: int


def query_curves(entry: EntryRows) -> list[QueryCurve]:
    """Return the curve of every cell that asks queries and really attacked images at the budget that ranks."""
    return [curve for track in rules().with_view("queries") for curve in _track_curves(entry.track(track))]


def _track_curves(rows: pd.DataFrame) -> list[QueryCurve]:
    norm, eps = rules().ranking.place
    at_headline = (rows["eps_255"] == eps) & (rows["norm"] == norm)
    rows = rows[at_headline & (rows["status"] == "ok") & ~rows["skipped"] & (rows["queries"] > 0)]
    found = []
    for attack, part in rows.groupby("attack", observed=True, sort=False):
        spent = part["queries"].to_numpy(dtype=np.float64)
        broken = ~part["correct"].to_numpy(dtype=bool)
        budgets = [budget for budget in BUDGETS if budget < spent.max()] + [int(spent.max())]
        robust = np.stack([~(broken & (spent <= budget)) for budget in budgets], axis=1).astype(np.float64)
        groups = part["group_id"].astype(object).fillna(part["sample_id"]).astype(str).tolist()
        low, high = interval(bootstrap(groups).means(robust))
        shares = robust.mean(axis=0)
        points = tuple(
            (float(budget), float(share), float(below), float(above))
            for budget, share, below, above in zip(budgets, shares, low, high, strict=True)
        )
        found.append(QueryCurve(str(attack), points, len(part)))
    return found
