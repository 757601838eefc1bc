"""The first page: a board per data set, with its rows, what to take away from it, and its scatter."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from benchmark.data.card import Card
from benchmark.matrix.rules import rules
from benchmark.submission.manifest import Manifest
from leaderboard.board import Board
from leaderboard.entries import EntryRows
from leaderboard.metrics import BASELINE
from leaderboard.record import Record
from leaderboard.site.badges import Badge, badges, legend
from leaderboard.site.book import Book, EntryKey
from leaderboard.site.clinicalpage import Clinical
from leaderboard.site.scatter import Point, scatter
from leaderboard.site.uncounted import lower_uncounted
from leaderboard.summary import Line, lines


@dataclass(frozen=True)
class Row:
    """An entry on one board; ``on_subset`` is its clean accuracy on the attacked images, for its interval bar."""

    line: Line
    manifest: Manifest | None
    title: str
    clinical: Clinical
    badges: tuple[Badge, ...]
    on_subset: Record | None

    @property
    def anchor(self) -> str:
        """Where the entry's page tells of this data set."""
        placement = self.line.placement
        return f"entries/{placement.submission}.html#{placement.dataset}" + (
            "" if placement.official else "-unofficial"
        )

    @property
    def key(self) -> str:
        """A name that no other row of the board has."""
        placement = self.line.placement
        return placement.submission + ("" if placement.official else "-unofficial")

    @property
    def family(self) -> str:
        """The defense family, as its manifest has it."""
        return self.manifest.defense_family if self.manifest else "unknown"


@dataclass(frozen=True)
class Takeaway:
    """What to take away from a board.

    Attributes:
        best: the ranked entry with the highest worst case.
        alike: how many other ranked entries show no significant difference from it.
        baseline: the natural baseline, where it is another entry and has a figure.
    """

    best: Row
    alike: int
    baseline: Row | None


@dataclass(frozen=True)
class BoardView:
    """One data set's board."""

    dataset: str
    title: str
    short: str
    card: Card | None
    ranked: tuple[Row, ...]
    unranked: tuple[Row, ...]
    takeaway: Takeaway | None
    chart: Markup
    legend: Sequence[tuple[str, str]]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, ranked ones first."""
        return self.ranked + self.unranked

    @property
    def majority(self) -> Record | None:
        """Clean accuracy of a constant prediction of the commonest class."""
        return next((row.line.majority for row in self.rows if row.line.majority is not None), None)


def boards(
    book: Book,
    entries: Mapping[EntryKey, EntryRows],
    manifests: Mapping[str, Manifest],
    cards: Mapping[str, Card],
    clinical: Callable[[EntryKey], Clinical],
) -> list[BoardView]:
    """Arrange every data set's board, in the order of :meth:`leaderboard.site.book.Book.datasets`."""
    official = {name for name, _, is_official in entries if is_official}
    own = [manifest.baseline for name, manifest in manifests.items() if name in official]
    # Where every entry ships with the benchmark, a badge on each of them tells nothing.
    mixed = any(own) and not all(own)
    rows: dict[str, list[Row]] = {}
    for line in lines(Board(book.records, book.standings)):
        key = (line.placement.submission, line.placement.dataset, line.placement.official)
        entry, manifest = entries[key], manifests.get(key[0])
        profile = ", ".join(entry.provenance("profile"))
        reduced = "" if profile == "official" else " Fewer attacks, budgets and images than an official run."
        told = f"{profile} profile, {line.placement.n} images attacked.{reduced} Never ranked."
        found = clinical(key)
        rows.setdefault(key[1], []).append(
            Row(
                line,
                manifest,
                manifest.title if manifest else key[0],
                found,
                badges(line, manifest, found, lower_uncounted(book, key, entry), told, baselines=mixed),
                book.get(key, "clean", "accuracy_on_attacked_subset"),
            )
        )
    return [_board(name, rows[name], cards.get(name)) for name in book.datasets()]


def short_title(dataset: str, card: Card | None) -> str:
    """A data set's title up to its colon, for places with little room; its name without a card."""
    return card.title.partition(":")[0] if card else dataset


def _board(dataset: str, rows: Sequence[Row], card: Card | None) -> BoardView:
    ranked = tuple(row for row in rows if row.line.placement.rank is not None)
    title = card.title if card else dataset
    return BoardView(
        dataset,
        title,
        short_title(dataset, card),
        card,
        ranked,
        tuple(row for row in rows if row.line.placement.rank is None),
        _takeaway(ranked),
        scatter(
            _points(rows),
            f"Clean accuracy against the worst case at {rules().ranking.text} of each entry on {title}. "
            "The table has the same figures.",
        ),
        legend(badge for row in rows for badge in row.badges),
    )


def _points(rows: Sequence[Row]) -> list[Point]:
    return [
        Point(row.key, row.title, clean, worst, row.line.placement.rank is not None)
        for row, clean, worst in ((row, row.line.clean, row.line.worst) for row in rows)
        if clean is not None and worst is not None and clean.known and worst.known
    ]


def _takeaway(ranked: Sequence[Row]) -> Takeaway | None:
    if not ranked:
        return None
    best, place = ranked[0], ranked[0].line.placement
    # All but itself, those significantly better and those significantly worse.
    alike = (place.rank_to or 0) - (place.rank or 0)
    baseline = next((row for row in ranked[1:] if row.line.placement.submission == BASELINE), None)
    return Takeaway(best, alike, baseline)
