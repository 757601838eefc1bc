"""What each cell of the matrix cost, from the rows themselves."""

from dataclasses import dataclass

import pandas as pd

from benchmark.results.schema import ATTACK_TRACKS

KEY = ("dataset", "submission", "track", "attack", "norm")
"""What one line of costs is about."""


@dataclass(frozen=True)
class Cost:
    """Cost of one cell for one submission on one data set, over all of its budgets.

    Attributes:
        attacked: attacks that were run, one per image and budget; the others were spared.
        spared: attacks that were not run, because their verdict followed from another or was copied with its row.
        seconds: attack time in all, in seconds of one core; the judge's time is not in it.
        queries, gradients: forward and backward passes per attack that was run.
    """

    dataset: str
    submission: str
    track: str
    attack: str
    norm: str
    attacked: int
    spared: int
    seconds: float
    queries: float
    gradients: float


def costs(rows: pd.DataFrame) -> list[Cost]:
    """Sum up what every cell cost, in the order of tracks; rows that another unit computed are counted there alone.

    Args:
        rows: from :func:`leaderboard.rows.read_rows`.
    """
    here = rows[rows["track"].isin(ATTACK_TRACKS) & (rows["attack"] != "none")]
    here = here[here["same_as"].astype(object).fillna("") == ""]
    ran = ~here["spared"] & (here["seconds"].fillna(0) > 0)
    # Where two views coincide a cell's rows were copied from another track: same seed, same time to the last bit.
    in_order = here.assign(place=here["track"].astype(str).map(ATTACK_TRACKS.index)).sort_values("place", kind="stable")
    copied = in_order.duplicated(["dataset", "submission", "sample_id", "seed", "seconds"]).reindex(here.index)
    found = []
    for key, part in here.groupby(list(KEY), observed=True, sort=False):
        run = part[(ran & ~copied).loc[part.index]]
        mean = run[["queries", "gradients"]].mean().fillna(0.0)
        found.append(
            Cost(
                **{name: str(value) for name, value in zip(KEY, key, strict=True)},  # type: ignore[arg-type]
                attacked=len(run),
                spared=len(part) - len(run),
                seconds=float(run["seconds"].sum()),
                queries=float(mean["queries"]),
                gradients=float(mean["gradients"]),
            )
        )
    return sorted(found, key=lambda cost: (cost.dataset, cost.submission, ATTACK_TRACKS.index(cost.track)))
