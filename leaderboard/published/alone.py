"""Entries that no published number stands beside, each with the reason in one sentence."""

from collections.abc import Iterable, Sequence

from leaderboard.published.beside import EntryKey, Pair, Setting, entry_of, is_of, side_by_side
from leaderboard.published.table import PublishedNumber, read_published
from leaderboard.record import Record

FAMILY = "'bench compare --published --family' shows others of its family"
ELSEWHERE = "published.csv lists all numbers in print"


def alone(
    records: Iterable[Record],
    pairs: Iterable[Pair],
    setting: Setting,
    numbers: Sequence[PublishedNumber] | None = None,
) -> dict[EntryKey, str]:
    """Say of every entry without a pair why it has none, and where to look instead.

    Args:
        records: those that the pairs were sought for.
        pairs: what :func:`leaderboard.published.side_by_side` found for them, with or without stand-ins.
        setting: what is known of our side.
        numbers: published numbers, by default those that ship with the benchmark.

    Returns:
        A sentence by entry, by data set, submission, official before unofficial.
    """
    known = read_published() if numbers is None else numbers
    accompanied = {entry_of(pair.ours) for pair in pairs}
    bare = [record for record in records if entry_of(record) not in accompanied]
    related = {entry_of(pair.ours) for pair in side_by_side(bare, setting, known, family=True)}
    keys = sorted({entry_of(record) for record in bare}, key=lambda key: (key[1], key[0], not key[2]))
    return {key: _why(key[0], known, key in related) for key in keys}


def _why(submission: str, numbers: Iterable[PublishedNumber], related: bool) -> str:
    doubts = [one.set_aside for one in numbers if one.unit == "share" and is_of(submission, one.defense)]
    if doubts and all(doubts):
        reasons = "; ".join(sorted(set(doubts)))
        why = f"Papers print this very defense, but its numbers are set aside: {reasons}"
    elif doubts:
        why = "Papers print this very defense, but with other attacks or budgets than these rows have"
    elif related:
        why = "No paper in the table prints this defense"
    else:
        why = (
            "No paper in the table prints this defense, nor another of its family at an attack and budget of these rows"
        )
    return f"{why}; {FAMILY if related else ELSEWHERE}."
