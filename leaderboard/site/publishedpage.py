"""What the pages of published numbers show: per data set and entry, the experiments of papers beside its figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_lowercase

from leaderboard.published import EntryKey, Experiment, Pair, PublishedNumber, entry_of, experiments
from leaderboard.record import Record
from leaderboard.site.tracks import NORM_TEXT, budget

Budget = tuple[str, float | None]
"""(norm, eps); without an attack or a budget ("", None)."""


@dataclass(frozen=True)
class Line:
    """An attack of an experiment and its figures by budget, None where the paper prints none.

    ``notes`` are the letters that hold of the whole line; ``own`` are those of each figure beyond them.
    """

    track: str
    attack: str
    metric: str
    table: str
    cells: tuple[Pair | None, ...]
    notes: str
    own: tuple[str, ...]

    @property
    def runs(self) -> list[tuple[Pair | None, str, int]]:
        """Figures with the letters of each; budgets without one that follow each other are one, with their number."""
        found: list[tuple[Pair | None, str, int]] = []
        for pair, letters in zip(self.cells, self.own, strict=True):
            if pair is None and found and found[-1][0] is None:
                found[-1] = (None, "", found[-1][2] + 1)
            else:
                found.append((pair, letters, 1))
        return found


@dataclass(frozen=True)
class Printed:
    """A published experiment as a table: a column per budget, a line per attack, and what differs in which lines.

    ``differs`` holds in every line; ``notes`` are (letter, what differs as well where the letter stands).
    """

    title: str
    source: str
    numbers: int
    budgets: tuple[Budget, ...]
    lines: tuple[Line, ...]
    differs: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Beside:
    """One entry and the published experiments beside it, or else the sentence why it is ``alone``.

    ``worst`` are its worst cases over all tracks at the budgets of these experiments.
    """

    anchor: str
    submission: str
    dataset: str
    official: bool
    experiments: tuple[Experiment, ...]
    alone: str = ""

    @property
    def printed(self) -> tuple[Printed, ...]:
        """The experiments as tables."""
        return tuple(map(as_table, self.experiments))

    @property
    def numbers(self) -> int:
        """How many published numbers stand beside the entry's."""
        return sum(len(experiment.pairs) for experiment in self.experiments)

    @property
    def worst(self) -> tuple[tuple[str, Record], ...]:
        """Budget in words, worst case."""
        found = {
            (pair.ours.norm, pair.ours.eps_255): pair.worst
            for one in self.experiments
            for pair in one.pairs
            if pair.worst
        }
        return tuple((budget_words(key), found[key]) for key in sorted(found, key=_budget_order))


@dataclass(frozen=True)
class PublishedView:
    """Entries, the papers, and why numbers were set aside, with how many."""

    entries: tuple[Beside, ...]
    papers: tuple[tuple[str, str, int, int], ...]
    total: int
    set_aside: tuple[tuple[str, int], ...]

    def of(self, submission: str, dataset: str, official: bool) -> Beside | None:
        """Return an entry's part of its data set's page; None for one whose rows give no number."""
        key = (submission, dataset, official)
        return next((one for one in self.entries if (one.submission, one.dataset, one.official) == key), None)

    def on(self, dataset: str) -> list[Beside]:
        """Entries on a data set that published numbers stand beside."""
        return [one for one in self.entries if one.dataset == dataset and not one.alone]

    def alone_on(self, dataset: str) -> list[tuple[str, list[Beside]]]:
        """Entries on a data set without a published number, by the sentence why."""
        found: dict[str, list[Beside]] = {}
        for one in self.entries:
            if one.dataset == dataset and one.alone:
                found.setdefault(one.alone, []).append(one)
        return list(found.items())

    def sources(self, dataset: str) -> list[str]:
        """Short names of the papers that print numbers in the tables of a data set."""
        return sorted({each.theirs.source for one in self.on(dataset) for each in one.experiments})

    def attacks(self, dataset: str) -> list[str]:
        """Names of the attacks in the tables of a data set."""
        return sorted({pair.ours.attack for one in self.on(dataset) for each in one.experiments for pair in each.pairs})


def anchor(submission: str, dataset: str, official: bool) -> str:
    """Return the id of an entry's part of the page."""
    return f"{submission}-{dataset}" + ("" if official else "-unofficial")


def published_view(
    pairs: Iterable[Pair], alone: Mapping[EntryKey, str], numbers: Iterable[PublishedNumber]
) -> PublishedView:
    """Arrange pairs (as :func:`leaderboard.published.side_by_side` sorts them) for the pages, entries alone last."""
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


def budget_words(one: Budget) -> str:
    """Return a budget with its norm where that is not L-infinity; a word for none."""
    norm, eps = one
    if eps is None:
        return "no budget"
    return budget(eps, norm) if norm == "linf" else f"{NORM_TEXT[norm]} {budget(eps, norm)}"


def as_table(experiment: Experiment) -> Printed:
    """Arrange an experiment's pairs by attack and budget; each thing that differs is said once, under a letter."""
    theirs = experiment.theirs
    budgets = tuple(sorted({_budget(pair) for pair in experiment.pairs}, key=_budget_order))
    clauses = dict.fromkeys(clause for pair in experiment.pairs for clause in experiment.rest(pair))
    letters = {clause: _letter(place) for place, clause in enumerate(clauses)}
    told = {
        pair: tuple(letter for clause, letter in letters.items() if clause in experiment.rest(pair))
        for pair in experiment.pairs
    }
    about = (f"{theirs.defense} on {theirs.dataset}", theirs.model, theirs.task, theirs.setting)
    return Printed(
        title=f"{theirs.source} ({theirs.year}): {', '.join(filter(None, about))}",
        source=theirs.source,
        numbers=len(experiment.pairs),
        budgets=budgets,
        lines=tuple(_lines(experiment.pairs, budgets, told)),
        differs=experiment.differs,
        notes=tuple((letter, clause) for clause, letter in letters.items()),
    )


def _lines(pairs: Sequence[Pair], budgets: Sequence[Budget], letters: Mapping[Pair, tuple[str, ...]]) -> Iterable[Line]:
    """One line per attack and table, and one more where a table prints a budget of it again."""
    found: dict[tuple[str, ...], list[dict[Budget, Pair]]] = {}
    for pair in pairs:
        key = (pair.ours.track, pair.ours.attack, pair.published.metric, pair.published.table)
        fillings = found.setdefault(key, [])
        free = next((filling for filling in fillings if _budget(pair) not in filling), None)
        if free is None:
            fillings.append({_budget(pair): pair})
        else:
            free[_budget(pair)] = pair
    for (track, attack, metric, table), fillings in found.items():
        for filling in fillings:
            cells = tuple(filling.get(one) for one in budgets)
            known = [letters[pair] for pair in cells if pair]
            shared = [letter for letter in known[0] if all(letter in other for other in known)]
            own = tuple(" ".join(x for x in letters[pair] if x not in shared) if pair else "" for pair in cells)
            yield Line(track, attack, metric, table, cells, " ".join(shared), own)


def _budget(pair: Pair) -> Budget:
    return (pair.ours.norm, pair.ours.eps_255)


def _budget_order(one: Budget) -> tuple[bool, bool, str, float]:
    norm, eps = one
    return (eps is not None, norm != "linf", norm, eps or 0.0)


def _letter(place: int) -> str:
    """Return a, b, ... z, aa, ab and so on."""
    first, last = divmod(place, len(ascii_lowercase))
    return (ascii_lowercase[first - 1] if first else "") + ascii_lowercase[last]
