"""What the page of one submission shows of one data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from benchmark.matrix.rules import rules
from benchmark.results.schema import NORMS, PERTURBATIONS, WITHOUT_ATTACKER
from benchmark.submission.manifest import ClaimedNumber
from leaderboard.entries import EntryRows
from leaderboard.queries import query_curves
from leaderboard.ranking import Placement
from leaderboard.record import ALL_TRACKS, HEADLINE, MEAN, WORST_CASE, Record
from leaderboard.requirements import lent_by
from leaderboard.site.book import Book, EntryKey
from leaderboard.site.charts import Series, curves
from leaderboard.site.clinicalpage import Clinical, clinical
from leaderboard.site.tracks import TRACK_TEXT
from leaderboard.votes import COPIES, LARGEST, METRIC, most_copies, over


@dataclass(frozen=True)
class Dataset:
    """The data set of a section: its title and the names of its classes in the order of their labels."""

    title: str
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MatrixRow:
    """A line of the matrix at each budget, None where not run; ``kind`` is attack, suite, member or worst."""

    name: str
    kind: str
    numbers: tuple[Record | None, ...]
    queries: tuple[Record | None, ...] = ()
    unranked: bool = False

    @property
    def label(self) -> str:
        """Its name as the page has it."""
        return {"worst": "worst case", "suite": f"{self.name}, worst of:"}.get(self.kind, self.name)


@dataclass(frozen=True)
class MatrixBlock:
    """The lines of one track under one norm, those outside the worst case last."""

    track: str
    norm: str
    eps: tuple[float, ...]
    rows: tuple[MatrixRow, ...]

    def used(self, place: int) -> bool:
        """Whether some attack of the track was run at this budget."""
        return any(row.numbers[place] for row in self.rows)

    def bounded(self, place: int) -> bool:
        """Whether some figure in the column of this budget is an upper bound."""
        return any(
            one is not None and one.known and one.upper_bound for one in (row.numbers[place] for row in self.rows)
        )


@dataclass(frozen=True)
class CorruptionRow:
    """Flip probability and accuracy of one perturbation at severities 1 to 5, their means and the relative FP."""

    name: str
    flips: tuple[Record | None, ...]
    flip_mean: Record | None
    relative: Record | None
    right: tuple[Record | None, ...]
    right_mean: Record | None


@dataclass(frozen=True)
class VoteLine:
    """How many copies a vote classified on one track, and how sure it was."""

    track: str
    copies: Record
    largest: Record
    metric: Record


@dataclass(frozen=True)
class ClaimLine:
    """A number that the entry's paper claims, the same attack's number here, and the worst case at that budget."""

    claim: ClaimedNumber
    text: str
    same: Record | None
    worst: Record | None


@dataclass(frozen=True)
class Section:
    """One data set of a submission's page, official or not."""

    anchor: str
    dataset: str
    standing: Placement
    worst: Record | None
    clean: dict[str, Record]
    on_subset: Record | None
    clinical: Clinical
    blocks: tuple[MatrixBlock, ...]
    same_as: tuple[tuple[str, str], ...]
    cumulative: bool
    chart: Markup
    query_chart: Markup
    severities: tuple[int, ...]
    corruption: tuple[CorruptionRow, ...]
    votes: tuple[VoteLine, ...]
    most_copies: int
    claims: tuple[ClaimLine, ...]
    provenance: tuple[tuple[str, str], ...]

    @property
    def has_bounds(self) -> bool:
        """Whether some figure of the matrix is an upper bound."""
        return any(block.bounded(place) for block in self.blocks for place in range(len(block.eps)))


CLEAN_TILES = {
    "accuracy": "Clean accuracy",
    "balanced_accuracy": "Clean balanced accuracy",
    "auc": "Clean AUC",
    "calibration_error": "Clean calibration error",
    "majority_class_rate": "Accuracy of predicting one class",
    "abstention_rate": "Clean abstention rate",
}
"""Metrics on clean images at the top of a section, with their words."""

PROVENANCE = (
    ("submission_hash", "Submission (sha256)"),
    ("dataset_hash", "Data set split (sha256)"),
    ("matrix_version", "Matrix version"),
    ("matrix_hash", "Matrix (sha256)"),
    ("profile", "Profile"),
    ("split", "Split"),
    ("harness_version", "Harness version"),
    ("git_commit", "Harness commit"),
    ("device", "Device"),
)
"""Columns shown as provenance, with their words."""


def section(
    book: Book, standing: Placement, entry: EntryRows, dataset: Dataset, claims: Sequence[ClaimedNumber] = ()
) -> Section:
    """Collect what one data set contributes to a submission's page."""
    key = (standing.submission, standing.dataset, standing.official)
    mine = book.of(key)
    clean = {record.metric: record for record in mine if record.track == "clean"}
    severities = tuple(sorted({record.severity for record in mine if record.severity is not None}))
    return Section(
        anchor=standing.dataset if standing.official else f"{standing.dataset}-unofficial",
        dataset=standing.dataset,
        standing=standing,
        worst=book.worst(key),
        clean=clean,
        on_subset=clean.get("accuracy_on_attacked_subset"),
        clinical=clinical(book, key, dataset.classes),
        blocks=_blocks(book, key, mine, entry),
        same_as=_same_as(entry),
        cumulative=any(record.metric.endswith("_cumulative") for record in mine),
        chart=_chart(book, key, mine, dataset),
        query_chart=_query_chart(entry, dataset),
        severities=severities,
        corruption=_corruption(book, key, mine, severities),
        votes=_votes(book, key),
        most_copies=most_copies(entry),
        claims=tuple(_claim(book, key, claim) for claim in claims if claim.dataset == standing.dataset),
        provenance=_provenance(entry),
    )


def _same_as(entry: EntryRows) -> tuple[tuple[str, str], ...]:
    """Tracks whose rows are those of another track, with that track."""
    pairs = [(track, lent_by(rows)) for track, rows in entry.attacks()]
    return tuple((track, other) for track, other in pairs if other)


def _claim(book: Book, key: EntryKey, claim: ClaimedNumber) -> ClaimLine:
    share = "accuracy" in claim.metric and claim.value <= 1
    text = f"{claim.value * 100:.1f} %" if share else f"{claim.value:g}"
    if claim.eps_255 == 0:
        return ClaimLine(claim, text, book.get(key, "clean", "accuracy"), None)
    same = book.cell(key, rules().with_view("undefended")[0], claim.attack, "linf", claim.eps_255)
    return ClaimLine(claim, text, same, book.worst(key, eps=claim.eps_255))


def _blocks(book: Book, key: EntryKey, mine: list[Record], entry: EntryRows) -> tuple[MatrixBlock, ...]:
    attacked = [record for record in mine if record.eps_255 is not None]
    columns = ["attack", "suite", "unranked"]
    cells = {track: rows[columns].drop_duplicates().astype(object).fillna("") for track, rows in entry.attacks()}
    cells[ALL_TRACKS] = pd.DataFrame(columns=columns)
    blocks = []
    for norm in [norm for norm in NORMS if any(record.norm == norm for record in attacked)]:
        here = [record for record in attacked if record.norm == norm]
        eps = tuple(sorted({record.eps_255 for record in here if record.eps_255 is not None}))
        for track in (*entry.attack_tracks, ALL_TRACKS):
            names = {record.attack for record in here if record.track == track}
            if names:
                own = cells[track]
                # Cells outside the worst case.
                beside = set(own.loc[own["unranked"].to_numpy(dtype=bool), "attack"])
                lines = _lines(own, names)
                rows = tuple(_row(book, key, (track, name, norm), eps, kind, name in beside) for name, kind in lines)
                blocks.append(MatrixBlock(track, norm, eps, tuple(sorted(rows, key=lambda row: row.unranked))))
    return tuple(blocks)


def _lines(cells: pd.DataFrame, names: set[str]) -> list[tuple[str, str]]:
    """Order a track's lines as the matrix does: single attacks, each suite before its members, the worst case last."""
    pairs = cells[["attack", "suite"]]
    suite_of = {str(attack): str(suite) for attack, suite in pairs.itertuples(index=False) if attack in names}
    suite_of |= {name: "" for name in sorted(names) if name not in suite_of and name not in suite_of.values()}
    lines = [(name, "attack") for name, suite in suite_of.items() if not suite and name != WORST_CASE]
    for suite in dict.fromkeys(suite for suite in suite_of.values() if suite):
        lines += [(suite, "suite"), *((name, "member") for name, own in suite_of.items() if own == suite)]
    return [*lines, *([(WORST_CASE, "worst")] if WORST_CASE in names else [])]


def _row(
    book: Book, key: EntryKey, cell: tuple[str, str, str], eps: tuple[float, ...], kind: str, unranked: bool
) -> MatrixRow:
    track, attack, norm = cell
    numbers = tuple(book.cell(key, track, attack, norm, one) for one in eps)
    queries = tuple(book.get(key, track, "queries_median", attack, norm, one) for one in eps)
    return MatrixRow(attack, kind, numbers, queries if any(queries) else (), unranked)


def _chart(book: Book, key: EntryKey, mine: list[Record], dataset: Dataset) -> Markup:
    series = []
    start = book.get(key, "clean", "accuracy_on_attacked_subset")
    norm = rules().ranking.norm
    for track in (ALL_TRACKS, *rules().attack_tracks):
        points = [
            (record.eps_255, record.value, record.low, record.high)
            for record in mine
            if (record.track, record.attack, record.norm, record.metric) == (track, WORST_CASE, norm, HEADLINE)
            and record.eps_255 is not None
            and record.known
        ]
        if points:
            origin = [(0.0, start.value, start.low, start.high)] if start and start.known else []
            series.append(Series(TRACK_TEXT[track][0], origin + sorted(points), strong=track == ALL_TRACKS))
    title = f"Worst-case robust accuracy of {key[0]} on {dataset.title} against the budget, per track"
    return curves(series, title)


def _query_chart(entry: EntryRows, dataset: Dataset) -> Markup:
    series = [Series(f"{curve.attack} (n = {curve.n})", curve.points) for curve in query_curves(entry)]
    at = rules().ranking.text
    title = f"Robust accuracy of {entry.submission} on {dataset.title} against queries per image, at {at}"
    return curves(series, title, "queries per image")


def _corruption(
    book: Book, key: EntryKey, mine: list[Record], severities: tuple[int, ...]
) -> tuple[CorruptionRow, ...]:
    names = {record.attack for record in mine if record.track == "corruption"} - {MEAN}
    order = [name for name in PERTURBATIONS if name in names] + sorted(names - set(PERTURBATIONS))
    rows = []
    for name in [*order, MEAN] if names else []:
        flip = "mean_flip_probability" if name == MEAN else "flip_probability"

        def numbers(metric: str, name: str = name) -> tuple[Record | None, ...]:
            return tuple(book.get(key, "corruption", metric, name, severity=level) for level in severities)

        rows.append(
            CorruptionRow(
                name=name.replace("_", " "),
                flips=numbers(flip),
                flip_mean=book.get(key, "corruption", flip, name),
                relative=book.get(key, "corruption", "relative_flip_probability", name),
                right=numbers("accuracy"),
                right_mean=book.get(key, "corruption", "accuracy", name),
            )
        )
    return tuple(rows)


def _votes(book: Book, key: EntryKey) -> tuple[VoteLine, ...]:
    lines = []
    for track in TRACK_TEXT:
        copies, largest, metric = (book.get(key, track, name, over(track)) for name in (COPIES, LARGEST, METRIC))
        if copies and largest and metric:
            lines.append(VoteLine(track, copies, largest, metric))
    return tuple(lines)


def _provenance(entry: EntryRows) -> tuple[tuple[str, str], ...]:
    found = [(words, ", ".join(entry.provenance(column)) or "unknown") for column, words in PROVENANCE]
    dates = entry.provenance("started_at")
    if dates:
        found.append(("Evaluated (UTC)", dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"))
    images, counts = set[str](), 0
    draws = 1
    for track, rows in entry.everything():
        counts += len(rows)
        if track not in WITHOUT_ATTACKER:
            images.update(rows["sample_id"].dropna().astype(str).unique())
            draws = max(draws, int(rows["draws"].max() if rows["draws"].notna().any() else 1))
    found.append(
        ("Seeds", "one per image and attack, from the names of data set, image, attack, parameters and budget")
    )
    found.append(("Judge's draws per image", f"{draws}"))
    found.append(("Images", f"{entry.track('clean')['sample_id'].nunique()} clean, {len(images)} attacked"))
    found.append(("Rows", f"{counts:,}"))
    return tuple(found)
