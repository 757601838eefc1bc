"""One line an entry: what the terminal, a paper's table and the site's board say of it first."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.matrix.rules import rules
from benchmark.results.schema import DIAGNOSTIC, EXTERNAL
from leaderboard.board import Board
from leaderboard.ranking import Placement
from leaderboard.record import ALL_TRACKS, FOUND_BY_OTHERS, HEADLINE, MEAN, WORST_CASE, Record

INFERENCE_COST = "inference_cost"
"""Metric: GFLOPs that a decision takes, as a multiple of the natural baseline's on the same data set."""


@dataclass(frozen=True)
class Line:
    """An entry on one data set.

    Attributes:
        placement: its place, or why it has none.
        clean, balanced: accuracy and balanced accuracy on the whole test split.
        worst: worst case over all tracks at the headline budget; ``tracks`` holds each track's own.
        corrupted, flips: mean accuracy and flip probability over all corruption sequences.
        cost: :data:`INFERENCE_COST`.
        majority: clean accuracy of always predicting one class.
        indicators: metric -> record of the indicators of its gradient.
        by_others: share of images that only outsiders broke; None without any.
    """

    placement: Placement
    clean: Record | None
    balanced: Record | None
    worst: Record | None
    tracks: Mapping[str, Record | None]
    corrupted: Record | None
    flips: Record | None
    cost: Record | None
    majority: Record | None
    indicators: Mapping[str, Record]
    by_others: Record | None = None


def lines(board: Board) -> list[Line]:
    """Return a line for every entry of a board, in its order."""
    found: dict[tuple[str, str, bool], dict[tuple[object, ...], Record]] = {}
    for record in board.records:
        key = (record.submission, record.dataset, record.official)
        place = (record.track, record.attack, record.norm, record.eps_255, record.severity, record.metric)
        found.setdefault(key, {})[place] = record
    return [_line(one, found.get((one.submission, one.dataset, one.official), {})) for one in board.placements]


def _line(placement: Placement, mine: Mapping[tuple[object, ...], Record]) -> Line:
    def clean(metric: str) -> Record | None:
        return mine.get(("clean", "none", "", None, None, metric))

    def worst(track: str) -> Record | None:
        return mine.get((track, WORST_CASE, *rules().ranking.place, None, HEADLINE))

    def corrupted(metric: str) -> Record | None:
        return mine.get(("corruption", MEAN, "", None, None, metric))

    return Line(
        placement,
        clean("accuracy"),
        clean("balanced_accuracy"),
        worst(ALL_TRACKS),
        {track: worst(track) for track in rules().attack_tracks},
        corrupted("accuracy"),
        corrupted("mean_flip_probability"),
        mine.get((DIAGNOSTIC, "none", "", None, None, INFERENCE_COST)),
        clean("majority_class_rate"),
        {record.metric: record for record in mine.values() if record.track == DIAGNOSTIC},
        mine.get((EXTERNAL, "none", "", None, None, FOUND_BY_OTHERS)),
    )


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of points that no other beats in one coordinate without losing in the other.

    Args:
        points: (x, y), higher is better in both; points that are not finite are on no front.
    """
    known = [i for i, point in enumerate(points) if all(map(math.isfinite, point))]

    def beaten(i: int) -> bool:
        x, y = points[i]
        return any(points[j] != (x, y) and points[j][0] >= x and points[j][1] >= y for j in known)

    return [i for i in known if not beaten(i)]


def gap_reasons(found: Iterable[Record | None]) -> list[str]:
    """Return the distinct reasons of figures that have no value."""
    return list(dict.fromkeys(one.reason for one in found if one is not None and one.reason))
