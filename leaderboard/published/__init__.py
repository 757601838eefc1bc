"""Numbers that papers print, restated in this benchmark's words and units, and ours beside them."""

from leaderboard.published.beside import (
    Experiment,
    Pair,
    Setting,
    as_plain,
    experiments,
    is_of,
    nothing_to_compare,
    side_by_side,
)
from leaderboard.published.table import PublishedNumber, read_published

__all__ = [
    "Experiment",
    "Pair",
    "PublishedNumber",
    "Setting",
    "as_plain",
    "experiments",
    "is_of",
    "nothing_to_compare",
    "read_published",
    "side_by_side",
]
