"""Who is ranked, where, and why somebody is not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.matrix.rules import rules
from leaderboard.bootstrap import Floats, bootstrap, interval
from leaderboard.completeness import problems
from leaderboard.entries import EntryRows, Required, entries
from leaderboard.requirements import in_force
from leaderboard.verdicts import Verdicts, verdicts


@dataclass(frozen=True)
class Placement:
    """Place of an entry on its data set's board.

    ``rank`` is None for an entry that is shown without being ranked; ``reasons`` then says why. ``rank`` to ``rank_to``
    are the ranks that it may have: one more than the number of entries that are significantly better, and as many as
    there are less those that are significantly worse. ``value``, ``low``, ``high`` are the worst-case robust accuracy
    at 8/255 over all tracks, in [0, 1], over ``n`` images; NaN where nothing was attacked at that budget, or with gaps.
    """

    submission: str
    dataset: str
    official: bool
    rank: int | None
    rank_to: int | None
    value: float
    low: float
    high: float
    n: int
    reasons: tuple[str, ...]

    @property
    def place(self) -> str:
        """The ranks that the entry may have, as ``1–8``; a dash without a rank."""
        if self.rank is None:
            return "–"
        return str(self.rank) if self.rank == self.rank_to else f"{self.rank}–{self.rank_to}"


def rank(rows: pd.DataFrame, required: Required | None = None) -> list[Placement]:
    """Rank every data set's entries by worst-case robust accuracy at 8/255 over all attack tracks.

    One entry is significantly better than another when the paired bootstrap difference over it has a 95 % interval
    wholly above 0, not corrected for the many pairs; that gives each a range of ranks. Unofficial and
    incomplete entries are returned without a rank, after the ranked ones; so are those judged under another matrix than
    the one in force, where any was judged under it, or on other images than most.

    Args:
        rows: result rows of any number of submissions and data sets.
        required: what the matrix asks of an entry; by default the matrix in force.

    Returns:
        Sorted by data set, ranked ones first, then from the highest value down.
    """
    return rank_of(entries(rows), required)


def rank_of(everyone: Sequence[EntryRows], required: Required | None = None) -> list[Placement]:
    """Rank as :func:`rank` does, from rows that are split into entries already."""
    by_dataset: dict[str, list[EntryRows]] = {}
    for entry in everyone:
        by_dataset.setdefault(entry.dataset, []).append(entry)
    asked = required or in_force()
    return [placement for dataset in sorted(by_dataset) for placement in _board(by_dataset[dataset], asked)]


def _board(members: list[EntryRows], required: Required) -> list[Placement]:
    judged = [verdicts(entry, required) for entry in members]
    reasons = [problems(entry, verdict, required) for entry, verdict in zip(members, judged, strict=True)]
    candidates = [i for i, why in enumerate(reasons) if not why]
    for outsider in _outsiders([_board_key(members[i], judged[i]) for i in candidates], required.matrix_hash):
        reasons[candidates[outsider]] = ["judged on other images or another matrix than the rest of this board"]
    candidates = [i for i, why in enumerate(reasons) if not why]
    worst = [_headline_scores(verdict) for verdict in judged]
    ranks = _ranks([worst[i] for i in candidates], judged[candidates[0]].groups if candidates else [])
    placements = []
    for i, entry in enumerate(members):
        first, last = ranks[candidates.index(i)] if i in candidates else (None, None)
        low = high = np.array([np.nan])
        if _complete(judged[i]) and len(worst[i]):
            low, high = interval(bootstrap(judged[i].groups).means(worst[i][:, None]))
        placements.append(
            Placement(
                entry.submission, entry.dataset, entry.official, first, last,
                float(worst[i].mean()) if _complete(judged[i]) and len(worst[i]) else float("nan"),
                float(low[0]), float(high[0]), len(worst[i]), tuple(reasons[i]),
            )
        )  # fmt: skip
    return sorted(placements, key=in_order)


def in_order(placement: Placement) -> tuple[str, bool, float, str, bool]:
    """Sort key: by data set, ranked ones first, then from the highest value down."""
    return (
        placement.dataset,
        placement.rank is None,
        -np.nan_to_num(placement.value, nan=-1.0),
        placement.submission,
        not placement.official,
    )


def _complete(judged: Verdicts) -> bool:
    """Whether every counted cell at the headline budget has a verdict on every image."""
    return bool(judged.worst(_at_headline(judged))[1].all())


def _at_headline(judged: Verdicts) -> list[int]:
    here = [i for i, cell in enumerate(judged.cells) if (cell.norm, cell.eps_255) == rules().ranking.place]
    return judged.ranked(here)


def _headline_scores(judged: Verdicts) -> Floats:
    columns = _at_headline(judged)
    return judged.worst(columns)[0] if columns else np.zeros(0)


_BoardKey = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def _board_key(entry: EntryRows, judged: Verdicts) -> _BoardKey:
    """What must be equal for two entries to stand on one board."""
    return (tuple(judged.images), tuple(entry.provenance("dataset_hash")), tuple(entry.provenance("matrix_hash")))


def _outsiders(keys: list[_BoardKey], in_force: str) -> list[int]:
    """Return the indices of keys that are not the most common one under the matrix in force.

    Where no entry was judged under that matrix, the most common of all (the first of equally common ones) counts.
    """
    if not keys:
        return []
    current = [key for key in keys if key[2] == (in_force,)]
    usual = max(current or keys, key=keys.count)
    return [i for i, key in enumerate(keys) if key != usual]


def _ranks(scores: list[Floats], groups: list[str]) -> list[tuple[int, int]]:
    """Return each entry's range of ranks from per-image scores on the same images."""
    if not scores:
        return []
    resampled = bootstrap(groups).means(np.stack(scores, axis=1))
    count = len(scores)
    above = np.array([
        [bool(interval((resampled[:, j] - resampled[:, i])[:, None])[0][0] > 0) for j in range(count)]
        for i in range(count)
    ])  # fmt: skip
    return [(1 + int(above[i].sum()), count - int(above[:, i].sum())) for i in range(count)]
