"""Write the site: pages, downloads and the few static files they need."""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmark.data.card import Card, sound_cards
from benchmark.errors import BenchError
from benchmark.matrix import Matrix, load_matrix
from benchmark.matrix.rules import rules
from benchmark.root import Root
from benchmark.submission.manifest import Manifest, read_manifest
from leaderboard.board import Board
from leaderboard.claims import CLAIMS, Ordering, orderings
from leaderboard.entries import EntryRows, Required
from leaderboard.evidence import official_evidence
from leaderboard.metrics import records_of
from leaderboard.published import Setting, alone, read_published, side_by_side
from leaderboard.ranking import rank_of
from leaderboard.requirements import required
from leaderboard.site.boardpage import boards
from leaderboard.site.book import Book
from leaderboard.site.clinicalpage import clinical
from leaderboard.site.downloads import RULES, Download, write_downloads
from leaderboard.site.entrypage import CLEAN_TILES, Dataset, section
from leaderboard.site.examples import Examples, copy_examples
from leaderboard.site.footing import Footing, footing
from leaderboard.site.matrix import MatrixView
from leaderboard.site.publishedpage import PublishedView, budget_words, published_view
from leaderboard.site.render import render
from leaderboard.site.sources import repository, weights_of
from leaderboard.site.uncounted import uncounted
from leaderboard.verdicts import verdicts

STATIC = Path(__file__).parent / "static"
RECOMPUTE = "recompute.py"

_SAFE_NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]*$")


@dataclass(frozen=True)
class Site:
    """Everything the pages are made from."""

    book: Book
    entries: dict[tuple[str, str, bool], EntryRows]
    manifests: dict[str, Manifest]
    cards: dict[str, Card]
    matrix: MatrixView
    published: PublishedView
    orderings: tuple[Ordering, ...]
    footing: Footing
    examples: Mapping[tuple[str, str, bool], Examples | None]
    repository: str

    @property
    def untested(self) -> list[tuple[str, str]]:
        """The claims that no data set has rows for."""
        told = {(one.higher, one.lower) for one in self.orderings}
        return [claim for claim in CLAIMS if claim not in told]

    downloads: tuple[Download, ...]

    def title(self, dataset: str) -> str:
        """The title on a data set's card; its name without a card."""
        return self.cards[dataset].title if dataset in self.cards else dataset

    def short(self, dataset: str) -> str:
        """A data set's title up to its colon, for links and table heads."""
        return self.title(dataset).partition(":")[0]

    def unconfirmed(self, dataset: str) -> bool:
        """Whether a data set's card says that its licence is not confirmed."""
        return dataset in self.cards and "not confirmed" in self.cards[dataset].licence.lower()

    @property
    def patients(self) -> bool:
        """Whether some data set with a board knows its patients."""
        return any(self.cards[name].patient_ids for name in self.book.datasets() if name in self.cards)

    @property
    def sizes(self) -> str:
        """Sizes of the images on the boards, smallest to largest, as ``28×28 to 64×64``; empty without a card."""
        cards = [self.cards[name] for name in self.book.datasets() if name in self.cards]
        found = [card.pixels for card in sorted(cards, key=lambda card: card.height * card.width)]
        return " to ".join(dict.fromkeys((found[0], found[-1]))) if found else ""


def build_site(
    found: Sequence[EntryRows],
    root: Root,
    out_dir: Path,
    matrix: tuple[Matrix, str] | None = None,
    board: Board | None = None,
) -> Path:
    """Build the whole site into ``out_dir`` and return its first page, ``out_dir/index.html``.

    Args:
        found: entries; official ones, and the reader's own, which are shown beside them and never ranked.
        root: where manifests and data set cards are found.
        out_dir: made if needed; files of an earlier site in it are replaced.
        matrix: the threat-model matrix and its sha256, by default the one in force.
        board: numbers and places of these entries; computed from their rows when not given.

    Raises:
        BenchError: a card or a manifest of an entry with results is wrong, or a name in the rows is no file name.
    """
    in_force, digest = matrix or load_matrix()
    found = list(found)
    for entry in found:
        _check_names(entry)
    asked = required(in_force, digest)
    view = MatrixView(in_force, digest, official_evidence(_read_once(found, asked), in_force, digest))
    told = board or Board(records_of(found, asked), rank_of(found, asked))
    book = Book(told.records, told.placements)
    manifests = _manifests(root, {entry.submission for entry in found})
    cards, _ = sound_cards(root.datasets, {entry.dataset for entry in found})
    numbers = read_published()
    setting = Setting(view.matrix, manifests, cards)
    pairs = side_by_side(book.records, setting)
    _clear(out_dir)
    site = Site(
        book=book,
        entries={(entry.submission, entry.dataset, entry.official): entry for entry in found},
        manifests=manifests,
        cards=cards,
        matrix=view,
        published=published_view(pairs, alone(book.records, pairs, setting), numbers),
        orderings=tuple(orderings(found, numbers, asked, records=book.records)),
        footing=footing(found),
        repository=repository(root.path / "pyproject.toml"),
        downloads=write_downloads(out_dir, found, book, root.path / "BENCHMARK.md"),
        examples=_examples(found, cards, out_dir),
    )
    shutil.copytree(STATIC, out_dir / "assets", dirs_exist_ok=True)
    (out_dir / "assets" / RECOMPUTE).write_text(_recompute(), encoding="utf-8")
    _pages(site, out_dir)
    return out_dir / "index.html"


def _recompute() -> str:
    """The script that recomputes the number that ranks, with the budget at which it does."""
    before, unset, after = (STATIC / RECOMPUTE).read_text(encoding="utf-8").partition('NORM, EPS_255 = "", 0.0  #')
    norm, eps = rules().ranking.place
    assert unset
    return f'{before}NORM, EPS_255 = "{norm}", {eps:g}  #{after}'.replace("filled in when the site is built: ", "")


def _read_once(found: Sequence[EntryRows], asked: Required) -> Iterator[EntryRows]:
    """Go through the entries; what pages ask of each later is computed while its rows are in memory, and remembered."""
    for entry in found:
        verdicts(entry, asked)
        uncounted(entry)
        yield entry


def _check_names(entry: EntryRows) -> None:
    for kind, name in (("submission", entry.submission), ("dataset", entry.dataset)):
        if not _SAFE_NAME.match(name):
            raise BenchError(f"result rows name the {kind} '{name}', which cannot be a file name; correct the rows.")


def _manifests(root: Root, names: set[str]) -> dict[str, Manifest]:
    """Read the manifests of entries with results; an entry whose folder is gone is shown by its name alone."""
    folders = {name: root.submissions / name for name in sorted(names)}
    return {name: read_manifest(folder) for name, folder in folders.items() if folder.is_dir()}


def _clear(out_dir: Path) -> None:
    """Remove what an earlier build left, and nothing else."""
    if out_dir.is_file():
        raise BenchError(f"{out_dir} is a file; give a folder for the site.")
    for name in ("assets", "data", "entries", "published"):
        if (out_dir / name).is_dir():
            shutil.rmtree(out_dir / name)
    out_dir.mkdir(parents=True, exist_ok=True)


def _pages(site: Site, out_dir: Path) -> None:
    shared: Mapping[str, object] = {
        "site": site,
        "up": "",
        "attack_tracks": site.matrix.tracks,
    }
    pages: dict[str, dict[str, object]] = {
        "index.html": {
            "boards": boards(
                site.book,
                site.entries,
                site.manifests,
                site.cards,
                lambda key: clinical(site.book, key, _classes(site.cards, key[1])),
            ),
        },
        "matrix.html": {"matrix": site.matrix},
        "datasets.html": {"cards": _cards(site)},
        "published.html": {"published": site.published, "sets": _published_sets(site)},
        "claims.html": {"claims": _claims(site)},
        "read.html": {"recompute": _recompute()},
        "submit.html": {"rules": next((file.path for file in site.downloads if file.path == RULES), "")},
        "downloads.html": {"downloads": site.downloads},
    }
    for name, context in pages.items():
        text = render(f"{name}.j2", {**shared, "page": name, **context})
        (out_dir / name).write_text(text, encoding="utf-8")
    (out_dir / "published").mkdir()
    for dataset in site.book.datasets():
        own = {"published": site.published, "dataset": dataset, "budget_words": budget_words}
        text = render("publishedset.html.j2", {**shared, **own, "up": "../", "page": "published.html"})
        (out_dir / "published" / f"{dataset}.html").write_text(text, encoding="utf-8")
    (out_dir / "entries").mkdir()
    for submission in sorted({standing.submission for standing in site.book.standings}):
        context = {**shared, **_entry_context(site, submission), "up": "../", "page": ""}
        text = render("entry.html.j2", context)
        (out_dir / "entries" / f"{submission}.html").write_text(text, encoding="utf-8")


def _published_sets(site: Site) -> list[tuple[str, int, int, int]]:
    """Data sets with their numbers of entries that have published numbers, of these numbers, and of other entries."""
    listed = []
    for dataset in site.book.datasets():
        beside = [one for one in site.published.on(dataset) if one.official]
        alone = [one for _, members in site.published.alone_on(dataset) for one in members if one.official]
        without = len(alone)
        listed.append((dataset, len(beside), sum(one.numbers for one in beside), without))
    return listed


def _cards(site: Site) -> list[tuple[str, Card, bool]]:
    """Cards with their names and whether they have a board: those with one first, in the order of the boards."""
    boards = [name for name in site.book.datasets() if name in site.cards]
    return [(name, site.cards[name], name in boards) for name in dict.fromkeys((*boards, *site.cards))]


def _examples(
    found: Sequence[EntryRows], cards: Mapping[str, Card], out_dir: Path
) -> dict[tuple[str, str, bool], Examples | None]:
    copied = [(entry, copy_examples(entry, _classes(cards, entry.dataset), out_dir)) for entry in found]
    return {(entry.submission, entry.dataset, entry.official): examples for entry, examples in copied}


def _claims(site: Site) -> list[tuple[tuple[str, str], list[Ordering]]]:
    """Group the orderings by their claim."""
    return [(claim, list(found)) for claim, found in groupby(site.orderings, key=lambda one: (one.higher, one.lower))]


def _classes(cards: Mapping[str, Card], dataset: str) -> list[str]:
    return cards[dataset].classes if dataset in cards else []


def _entry_context(site: Site, submission: str) -> dict[str, object]:
    manifest = site.manifests.get(submission)
    order = site.book.datasets()
    standings = sorted(
        site.book.standings_of(submission=submission), key=lambda one: (not one.official, order.index(one.dataset))
    )
    sections = [
        section(
            site.book,
            standing,
            site.entries[(submission, standing.dataset, standing.official)],
            Dataset(site.title(standing.dataset), tuple(_classes(site.cards, standing.dataset))),
            manifest.claims if manifest else [],
        )
        for standing in standings
    ]
    return {
        "name": submission,
        "manifest": manifest,
        "sections": sections,
        "CLEAN_TILES": CLEAN_TILES,
        "weights": weights_of(manifest, site.manifests) if manifest else (),
    }
