"""Attacks that the matrix measures and does not count, where they lie below the worst case that it counts."""

from benchmark.results.schema import ATTACK_TRACKS, HEADLINE_EPS
from leaderboard.entries import EntryRows, once_per_entry
from leaderboard.record import ALL_TRACKS, HEADLINE, Record
from leaderboard.site.book import Book, EntryKey


def lower_uncounted(book: Book, key: EntryKey, entry: EntryRows) -> dict[str, Record]:
    """Return by track the lowest such attack in L-inf at 8/255, and the lowest of any track for all tracks together."""
    found: dict[str, Record] = {}
    for track in ATTACK_TRACKS:
        names = uncounted(entry)[track]
        measured = [book.get(key, track, HEADLINE, name, "linf", HEADLINE_EPS) for name in names]
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
    for track in ATTACK_TRACKS:
        rows = entry.track(track)
        found[track] = sorted(rows.loc[rows["unranked"].to_numpy(dtype=bool), "attack"].astype(str).unique())
    return found
