"""What the page of one submission shows of one data set."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from benchmark.results.schema import ATTACK_TRACKS
from leaderboard.entries import Entry
from leaderboard.ranking import Standing
from leaderboard.record import ALL_TRACKS, WORST_CASE, Record
from leaderboard.site.book import Book, EntryKey
from leaderboard.site.charts import Series, curves
from leaderboard.site.tracks import PERTURBATIONS, TRACK_TEXT


@dataclass(frozen=True)
class MatrixRow:
    """A line of the matrix: an attack, a suite or a track's worst case, at each budget (None where not run)."""

    name: str
    kind: str
    note: str
    numbers: tuple[Record | None, ...]
    queries: tuple[Record | None, ...] = ()


@dataclass(frozen=True)
class MatrixBlock:
    """The lines of one track under one norm."""

    track: str
    norm: str
    eps: tuple[float, ...]
    rows: tuple[MatrixRow, ...]


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
class Section:
    """One data set of a submission's page, official or not."""

    anchor: str
    dataset: str
    standing: Standing
    worst: Record | None
    clean: dict[str, Record]
    on_subset: Record | None
    sensitivities: tuple[tuple[str, Record], ...]
    blocks: tuple[MatrixBlock, ...]
    cumulative: bool
    chart: Markup
    severities: tuple[int, ...]
    corruption: tuple[CorruptionRow, ...]
    provenance: tuple[tuple[str, str], ...]


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


def section(book: Book, standing: Standing, entry: Entry, classes: Sequence[str]) -> Section:
    """Collect what one data set contributes to a submission's page."""
    key = (standing.submission, standing.dataset, standing.official)
    mine = book.of(key)
    clean = {record.metric: record for record in mine if record.track == "clean"}
    blocks = _blocks(book, key, mine, set(entry.provenance("suite")))
    severities = tuple(sorted({record.severity for record in mine if record.severity is not None}))
    return Section(
        anchor=standing.dataset if standing.official else f"{standing.dataset}-unofficial",
        dataset=standing.dataset,
        standing=standing,
        worst=book.worst(key),
        clean=clean,
        on_subset=clean.get("accuracy_on_attacked_subset"),
        sensitivities=_sensitivities(clean, classes),
        blocks=blocks,
        cumulative=any(record.metric.endswith("_cumulative") for record in mine),
        chart=_chart(book, key, mine, standing),
        severities=severities,
        corruption=_corruption(book, key, mine, severities),
        provenance=_provenance(entry),
    )


def _sensitivities(clean: dict[str, Record], classes: Sequence[str]) -> tuple[tuple[str, Record], ...]:
    found = []
    for metric, record in clean.items():
        if metric.startswith("sensitivity_class_"):
            label = int(metric.rsplit("_", 1)[1])
            found.append((classes[label] if label < len(classes) else f"class {label}", record))
    return tuple(found)


def _blocks(book: Book, key: EntryKey, mine: list[Record], suites: set[str]) -> tuple[MatrixBlock, ...]:
    attacked = [record for record in mine if record.eps_255 is not None]
    blocks = []
    for norm in sorted({record.norm for record in attacked}, key=lambda name: (name != "linf", name)):
        here = [record for record in attacked if record.norm == norm]
        eps = tuple(sorted({record.eps_255 for record in here if record.eps_255 is not None}))
        for track in (*ATTACK_TRACKS, ALL_TRACKS):
            names = [record.attack for record in here if record.track == track and record.metric != "queries_median"]
            if names:
                rows = tuple(_row(book, key, (track, name, norm), eps, name in suites) for name in dict.fromkeys(names))
                blocks.append(MatrixBlock(track, norm, eps, tuple(sorted(rows, key=lambda row: row.kind == "worst"))))
    return tuple(blocks)


def _row(book: Book, key: EntryKey, cell: tuple[str, str, str], eps: tuple[float, ...], suite: bool) -> MatrixRow:
    track, attack, norm = cell
    worst = attack == WORST_CASE
    numbers = tuple(book.cell(key, track, attack, norm, one) for one in eps)
    queries = tuple(book.get(key, track, "queries_median", attack, norm, one) for one in eps)
    kind = "worst" if worst else "suite" if suite else "attack"
    note = "worst of its attacks" if suite else ""
    return MatrixRow("worst case" if worst else attack, kind, note, numbers, queries if any(queries) else ())


def _chart(book: Book, key: EntryKey, mine: list[Record], standing: Standing) -> Markup:
    series = []
    start = book.get(key, "clean", "accuracy_on_attacked_subset")
    for track in (ALL_TRACKS, *ATTACK_TRACKS):
        points = [
            (record.eps_255, record.value, record.low, record.high)
            for record in mine
            if (record.track, record.attack, record.norm) == (track, WORST_CASE, "linf") and record.eps_255 is not None
        ]
        if points:
            origin = [(0.0, start.value, start.low, start.high)] if start else []
            series.append(Series(TRACK_TEXT[track][0], origin + sorted(points), strong=track == ALL_TRACKS))
    title = f"Worst-case robust accuracy of {standing.submission} on {standing.dataset} against the budget, per track"
    return curves(series, title)


def _corruption(
    book: Book, key: EntryKey, mine: list[Record], severities: tuple[int, ...]
) -> tuple[CorruptionRow, ...]:
    names = {record.attack for record in mine if record.track == "corruption"} - {"mean"}
    order = [name for name in PERTURBATIONS if name in names] + sorted(names - set(PERTURBATIONS))
    rows = []
    for name in [*order, "mean"] if names else []:
        flip = "mean_flip_probability" if name == "mean" else "flip_probability"

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


def _provenance(entry: Entry) -> tuple[tuple[str, str], ...]:
    found = [(words, ", ".join(entry.provenance(column)) or "unknown") for column, words in PROVENANCE]
    dates = entry.provenance("started_at")
    if dates:
        found.append(("Evaluated (UTC)", dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"))
    seeds = entry.rows["seed"].dropna()
    if len(seeds):
        found.append(
            ("Seeds", f"{seeds.nunique()} distinct, one per image and cell, from content; in the column 'seed'")
        )
    draws = entry.rows["draws"].dropna()
    if len(draws):
        found.append(("Judge's draws per image", f"{int(draws.max())}"))
    images = entry.rows.loc[entry.rows["track"].isin(ATTACK_TRACKS), "sample_id"].nunique()
    found.append(("Images", f"{entry.track('clean')['sample_id'].nunique()} clean, {images} attacked"))
    found.append(("Rows", f"{len(entry.rows):,}"))
    return tuple(found)
