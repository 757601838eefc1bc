"""Attacks that the matrix measures and does not count, where they lie below the worst case that it counts."""

from benchmark.matrix.rules import rules
from leaderboard.entries import EntryRows, once_per_entry
from leaderboard.record import ALL_TRACKS, HEADLINE, Record
from leaderboard.site.book import Book, EntryKey


def lower_uncounted(book: Book, key: EntryKey, entry: EntryRows) -> dict[str, Record]:
    """Return by track the lowest such attack at the budget that ranks, and the lowest of any for all tracks."""
    found: dict[str, Record] = {}
    for track, names in uncounted(entry).items():
        measured = [book.get(key, track, HEADLINE, name, *rules().ranking.place) for name in names]
        for place in (track, ALL_TRACKS):
            counted = book.worst(key, place)
            below = [
                one
                for one in (*measured, found.get(place))
                if one and one.known and counted and one.value < counted.value
            ]
            if below:
                found[place] = min(below, key=lambda one: one.value)
    return found


@once_per_entry
def uncounted(entry: EntryRows) -> dict[str, list[str]]:
    """Name the attacks of each track that its rows mark as not counted."""
    found = {}
    for track, rows in entry.attacks():
        found[track] = sorted(rows.loc[rows["unranked"].to_numpy(dtype=bool), "attack"].astype(str).unique())
    return found
