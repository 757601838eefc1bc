"""Numbers that papers print, restated in this benchmark's words and units, and ours beside them."""

from leaderboard.published.alone import alone
from leaderboard.published.beside import (
    EntryKey,
    Experiment,
    Pair,
    Setting,
    as_plain,
    entry_of,
    experiments,
    side_by_side,
)
from leaderboard.published.table import PublishedNumber, read_published

__all__ = [
    "EntryKey",
    "Experiment",
    "Pair",
    "PublishedNumber",
    "Setting",
    "alone",
    "as_plain",
    "entry_of",
    "experiments",
    "read_published",
    "side_by_side",
]
