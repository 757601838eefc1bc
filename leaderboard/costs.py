"""What each cell of the matrix cost, from the rows themselves."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from benchmark.matrix.rules import rules
from leaderboard.entries import EntryRows


@dataclass(frozen=True)
class Cost:
    """Cost of one cell for one submission on one data set, over all of its budgets.

    Attributes:
        attacked: attacks that were run, one per image and budget.
        skipped: attacks that were not run, because their verdict followed from another or was copied with its row.
        seconds: attack time in all, in seconds of one core; the judge's time is not in it.
        queries, gradients: forward and backward passes per attack that was run.
    """

    dataset: str
    submission: str
    track: str
    attack: str
    norm: str
    attacked: int
    skipped: int
    seconds: float
    queries: float
    gradients: float


def costs(members: Iterable[EntryRows]) -> list[Cost]:
    """Sum up what every cell cost, in the order of tracks; rows that repeat another track's are counted there alone."""
    found = [one for entry in members for track, rows in entry.attacks() for one in track_costs(entry, track, rows)]
    return sorted(found, key=lambda cost: (cost.dataset, cost.submission, rules().place_of(cost.track)))


def track_costs(entry: EntryRows, track: str, rows: pd.DataFrame) -> list[Cost]:
    """Sum up what every cell of one track cost."""
    rows = rows[(rows["attack"] != "none").to_numpy()]
    own = rows["same_as"].astype(object).fillna("") == ""
    if not own.any():
        return []
    ran = own & ~rows["skipped"] & (rows["seconds"].fillna(0) > 0)
    found = []
    for (attack, norm), part in rows.groupby(["attack", "norm"], observed=True, sort=False):
        run = part[ran.loc[part.index]]
        mean = run[["queries", "gradients"]].mean().fillna(0.0)
        found.append(
            Cost(
                dataset=entry.dataset,
                submission=entry.submission,
                track=track,
                attack=str(attack),
                norm=str(norm),
                attacked=len(run),
                skipped=len(part) - len(run),
                seconds=float(run["seconds"].sum()),
                queries=float(mean["queries"]),
                gradients=float(mean["gradients"]),
            )
        )
    return found
