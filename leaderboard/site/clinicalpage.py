"""The compact table of clinical figures: one line per entry, clean and under the worst case."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.matrix.rules import rules
from leaderboard.constant import Mark, badged_marks
from leaderboard.record import ALL_TRACKS, WORST_CASE, Record
from leaderboard.site.book import Book, EntryKey


@dataclass(frozen=True)
class ClassLine:
    """One class: figures on clean images and under the worst case, None where there is none."""

    name: str
    clean: Mapping[str, Record | None]
    worst: Mapping[str, Record | None]


@dataclass(frozen=True)
class Clinical:
    """An entry's clinical figures: by metric, per class, the lowest sensitivity of each place, and what marks it.

    ``clean`` and ``worst`` map metrics to records; ``worst`` is the worst case over all tracks at the headline budget
    and empty without one. ``lowest_clean`` and ``lowest_worst`` are (class or classes, record).
    """

    clean: Mapping[str, Record]
    worst: Mapping[str, Record]
    lines: tuple[ClassLine, ...]
    lowest_clean: tuple[str, Record] | None
    lowest_worst: tuple[str, Record] | None
    warnings: tuple[Mark, ...]

    @property
    def marks(self) -> tuple[str, ...]:
        """The sentences of the warnings."""
        return tuple(mark.sentence for mark in self.warnings)


PER_CLASS = ("sensitivity", "specificity", "answer_share")


def clinical(book: Book, key: EntryKey, classes: Sequence[str]) -> Clinical:
    """Collect an entry's clinical figures.

    Args:
        book: the board's records.
        key: the entry.
        classes: names of the classes in the order of their labels; a class beyond them is called by its number.
    """
    mine = book.of(key)
    clean = {record.metric: record for record in mine if record.track == "clean"}
    place = (ALL_TRACKS, WORST_CASE, *rules().ranking.place)
    worst = {r.metric: r for r in mine if (r.track, r.attack, r.norm, r.eps_255) == place}
    labels = sorted(
        {int(name.rsplit("_", 1)[1]) for name in (*clean, *worst) if "_class_" in name and name[-1].isdigit()}
    )
    lines = tuple(
        ClassLine(
            _name(label, classes),
            {metric: clean.get(f"{metric}_class_{label}") for metric in PER_CLASS},
            {metric: worst.get(f"{metric}_class_{label}") for metric in PER_CLASS},
        )
        for label in labels
    )
    return Clinical(
        clean, worst, lines, _lowest([(line.name, line.clean["sensitivity"]) for line in lines]),
        _lowest([(line.name, line.worst["sensitivity"]) for line in lines]), badged_marks(mine, classes),
    )  # fmt: skip


def _lowest(found: Sequence[tuple[str, Record | None]]) -> tuple[str, Record] | None:
    """Name the class with the lowest sensitivity, or every one of those that share it, with the widest interval."""
    known = [(name, record) for name, record in found if record is not None and record.known]
    if not known:
        return None
    least = min(record.value for _, record in known)
    tied = [(name, record) for name, record in known if math.isclose(record.value, least, abs_tol=1e-12)]
    widest = max((record for _, record in tied), key=lambda record: record.high - record.low)
    everyone = len(tied) == len(known) > 1
    return "all classes" if everyone else ", ".join(name for name, _ in tied), widest


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label].replace("_", " ") if label < len(classes) else f"class {label}"
