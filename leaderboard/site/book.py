"""Records and standings arranged for pages: look a number up by what it is."""

from collections import Counter
from collections.abc import Iterable

from benchmark.matrix.rules import rules
from leaderboard.ranking import Placement
from leaderboard.record import ALL_TRACKS, HEADLINE, WORST_CASE, Record

EntryKey = tuple[str, str, bool]
"""(submission, data set, official)."""


class Book:
    """All records of the board.

    Args:
        records: from :func:`leaderboard.metrics.records`.
        standings: from :func:`leaderboard.ranking.rank`.
    """

    def __init__(self, records: Iterable[Record], standings: Iterable[Placement]) -> None:
        self.records = list(records)
        self.standings = list(standings)
        self._of: dict[EntryKey, dict[tuple[object, ...], Record]] = {}
        for record in self.records:
            key = (record.submission, record.dataset, record.official)
            place = (record.track, record.attack, record.norm, record.eps_255, record.severity, record.metric)
            self._of.setdefault(key, {})[place] = record

    def get(
        self,
        entry: EntryKey,
        track: str,
        metric: str,
        attack: str = "none",
        norm: str = "",
        eps: float | None = None,
        severity: int | None = None,
    ) -> Record | None:
        """Return one record, None where there is none."""
        return self._of.get(entry, {}).get((track, attack, norm, eps, severity, metric))

    def of(self, entry: EntryKey) -> list[Record]:
        """Return all records of an entry."""
        return list(self._of.get(entry, {}).values())

    def worst(self, entry: EntryKey, track: str = ALL_TRACKS, eps: float | None = None) -> Record | None:
        """Return the worst-case robust accuracy of a track or over all of them, by default at the budget that ranks."""
        norm, ranked = rules().ranking.place
        return self.get(entry, track, HEADLINE, WORST_CASE, norm, ranked if eps is None else eps)

    def cell(self, entry: EntryKey, track: str, attack: str, norm: str, eps: float) -> Record | None:
        """Return a cell's robust accuracy, alone or cumulative, whichever the run gives."""
        alone = self.get(entry, track, HEADLINE, attack, norm, eps)
        return alone or self.get(entry, track, f"{HEADLINE}_cumulative", attack, norm, eps)

    def datasets(self) -> list[str]:
        """Names of data sets with an entry: those with the most ranked entries first, then by name."""
        ranked = Counter({standing.dataset: 0 for standing in self.standings})
        ranked.update(standing.dataset for standing in self.standings if standing.rank is not None)
        return sorted(ranked, key=lambda name: (-ranked[name], name))

    def standings_of(self, *, dataset: str | None = None, submission: str | None = None) -> list[Placement]:
        """Return the standings of a data set or of a submission, in board order."""
        return [
            standing
            for standing in self.standings
            if dataset in (None, standing.dataset) and submission in (None, standing.submission)
        ]
