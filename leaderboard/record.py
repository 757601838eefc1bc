"""One number of the board."""

import csv
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from benchmark.matrix.rules import rules

WORST_CASE = "worst-case"
"""``attack`` of a record that takes the worst cell per image."""

MEAN = "mean"
"""``attack`` of a record that is a mean over a track's attacks or perturbations."""

ALL_TRACKS = "all"
"""``track`` of a record that spans every attack track."""

FOUND_BY_OTHERS = "found_by_others"
"""Metric of the track of outsiders: share of images that nobody else broke."""

HEADLINE = rules().ranking.metric
"""Metric by which entries are ranked, worst case over all tracks at the budget that ranks."""

_SHARES = (
    HEADLINE, "accuracy", "sensitivity", "specificity", "answer_share", "abstention_rate", "flip_probability",
    "mean_flip_probability",
)  # fmt: skip
"""Metrics that are a share of ``n`` images, or begin the names of such ones."""


@dataclass(frozen=True)
class Record:
    """A value with its 95 % interval.

    ``eps_255`` is in the units of the norm (:data:`benchmark.results.schema.NORMS`); shares lie in [0, 1]; ``n`` counts
    the images behind the value. ``complete`` is false where some image lacked a verdict: then there is no value (NaN,
    null in JSON), ``reason`` says why, and the entry is not ranked. ``upper_bound`` marks a figure that a run which
    skips work may have left too high: an expensive attack was not tried on some robust image at that budget.
    """

    submission: str
    dataset: str
    track: str
    attack: str
    norm: str
    eps_255: float | None
    severity: int | None
    metric: str
    value: float
    low: float
    high: float
    n: int
    official: bool
    complete: bool = True
    reason: str = ""
    upper_bound: bool = False

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return math.isfinite(self.value)

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval to show: at 0 or 100 % of n images, the rule of three in place of one without width.

        No image of n with an outcome leaves a share of at most 3/n, one-sided at 95 %; a bootstrap of equal outcomes
        has no width and says nothing of it.
        """
        if not self.one_sided:
            return self.low, self.high
        width = min(3.0 / self.n, 1.0)
        return (0.0, width) if self.value == 0.0 else (1.0 - width, 1.0)

    @property
    def one_sided(self) -> bool:
        """Whether no image, or every one, has the outcome that the share counts."""
        return self.metric.startswith(_SHARES) and self.n > 0 and self.low == self.high and self.value in (0.0, 1.0)

    def interval(self, between: str = "–") -> str:
        """Return the interval in percent: ``69.5–80.1``, or the one-sided bound as ``≤1.2`` or ``≥98.8``."""
        low, high = (f"{share * 100:.1f}" for share in self.bounds)
        if self.one_sided:
            return f"≤{high}" if self.value == 0.0 else f"≥{low}"
        return f"{low}{between}{high}"


def plain(record: Record) -> dict[str, Any]:
    """The record's values, None for a number that does not exist."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in vars(record).items()
    }


def as_json(records: Iterable[Record]) -> str:
    """Return the records as a JSON list of objects; a value that does not exist is null."""
    # A record a line reads better than a value a line, and json's fast encoder cannot indent.
    return "[\n" + ",\n".join(json.dumps(plain(record), allow_nan=False) for record in records) + "\n]\n"


def as_csv(records: Iterable[Record]) -> str:
    """Return the records as CSV with a header line; absent values are empty."""
    text = io.StringIO()
    names = [field.name for field in fields(Record)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in plain(record).items()} for record in records)
    return text.getvalue()
