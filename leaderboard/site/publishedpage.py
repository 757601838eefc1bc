"""What the page of published numbers shows: per entry, the experiments of papers that have its defense and attacks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from leaderboard.published import EntryKey, Experiment, Pair, PublishedNumber, entry_of, experiments


@dataclass(frozen=True)
class Beside:
    """One entry and the published experiments beside it, or else the sentence why it is ``alone``."""

    anchor: str
    submission: str
    dataset: str
    official: bool
    experiments: tuple[Experiment, ...]
    alone: str = ""


@dataclass(frozen=True)
class PublishedView:
    """Entries, the papers, and why numbers were set aside, with how many."""

    entries: tuple[Beside, ...]
    papers: tuple[tuple[str, str, int, int], ...]
    total: int
    set_aside: tuple[tuple[str, int], ...]

    def of(self, submission: str, dataset: str, official: bool) -> Beside | None:
        """Return an entry's part of the page; None for one whose rows give no number."""
        key = (submission, dataset, official)
        return next((one for one in self.entries if (one.submission, one.dataset, one.official) == key), None)


def anchor(submission: str, dataset: str, official: bool) -> str:
    """Return the id of an entry's part of the page."""
    return f"{submission}-{dataset}" + ("" if official else "-unofficial")


def published_view(
    pairs: Iterable[Pair], alone: Mapping[EntryKey, str], numbers: Iterable[PublishedNumber]
) -> PublishedView:
    """Arrange pairs (as :func:`leaderboard.published.side_by_side` sorts them) for the page, entries alone last."""
    entries = []
    every = list(numbers)
    grouped = groupby(experiments(pairs), key=lambda one: entry_of(one.ours))
    for (submission, dataset, official), found in grouped:
        entries.append(Beside(anchor(submission, dataset, official), submission, dataset, official, tuple(found)))
    entries += [Beside(anchor(*key), *key, (), why) for key, why in alone.items()]
    titles = {(one.source, one.title, one.year) for one in every}
    papers = [
        (*paper, sum(one.title == paper[1] for one in every))
        for paper in sorted(titles, key=lambda one: (-one[2], one[0]))
    ]
    reasons = [one.set_aside for one in every if one.set_aside]
    counted = sorted(((why, reasons.count(why)) for why in set(reasons)), key=lambda one: (-one[1], one[0]))
    return PublishedView(tuple(entries), tuple(papers), len(every), tuple(counted))
