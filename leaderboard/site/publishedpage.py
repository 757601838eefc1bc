"""What the page of published numbers shows: per entry, the experiments of papers that have its defense and attacks."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from leaderboard.published import Experiment, Pair, PublishedNumber, experiments, is_of


@dataclass(frozen=True)
class Beside:
    """One entry and the published experiments beside it.

    ``set_aside`` tells why numbers of this very defense, which papers do print, stand not among them.
    """

    anchor: str
    submission: str
    dataset: str
    official: bool
    experiments: tuple[Experiment, ...]
    set_aside: tuple[str, ...]

    @property
    def lines(self) -> int:
        """Number of pairs."""
        return sum(len(experiment.pairs) for experiment in self.experiments)


@dataclass(frozen=True)
class PublishedView:
    """Entries with published numbers beside them, the papers, and why numbers were set aside, with how many."""

    entries: tuple[Beside, ...]
    papers: tuple[tuple[str, str, int, int], ...]
    total: int
    set_aside: tuple[tuple[str, int], ...]

    def anchors(self, submission: str) -> dict[tuple[str, bool], str]:
        """Return the anchor of each (data set, official) of a submission that has numbers beside it."""
        return {(one.dataset, one.official): one.anchor for one in self.entries if one.submission == submission}


def anchor(submission: str, dataset: str, official: bool) -> str:
    """Return the id of an entry's part of the page."""
    return f"{submission}-{dataset}" + ("" if official else "-unofficial")


def published_view(pairs: Iterable[Pair], numbers: Iterable[PublishedNumber]) -> PublishedView:
    """Arrange pairs (as :func:`leaderboard.published.side_by_side` sorts them) for the page."""
    entries = []
    every = list(numbers)
    grouped = groupby(experiments(pairs), key=lambda one: (one.ours.submission, one.ours.dataset, one.ours.official))
    for (submission, dataset, official), found in grouped:
        place = anchor(submission, dataset, official)
        doubts = {one.set_aside for one in every if one.set_aside and is_of(submission, one.defense)}
        entries.append(Beside(place, submission, dataset, official, tuple(found), tuple(sorted(doubts))))
    titles = {(one.source, one.title, one.year) for one in every}
    papers = [
        (*paper, sum(one.title == paper[1] for one in every))
        for paper in sorted(titles, key=lambda one: (-one[2], one[0]))
    ]
    reasons = [one.set_aside for one in every if one.set_aside]
    counted = sorted(((why, reasons.count(why)) for why in set(reasons)), key=lambda one: (-one[1], one[0]))
    return PublishedView(tuple(entries), tuple(papers), len(every), tuple(counted))
