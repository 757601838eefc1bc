"""The table of published numbers: one line per number that a paper prints."""

import csv
import io
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from benchmark.errors import BenchError
from benchmark.files import read_text

PUBLISHED = Path(__file__).parent / "published.csv"
"""The table itself, made by :mod:`leaderboard.published.restate`."""


@dataclass(frozen=True)
class PublishedNumber:
    """A number of a paper, in this benchmark's words.

    Attributes:
        source: short name of the paper; ``title`` and ``year`` are the paper's.
        table: the paper's number of the table, as printed.
        dataset: data set as the paper calls it; ``modality`` says what it shows.
        image_size: side of the input in pixels, None where not stated; ``test_images`` likewise.
        task: binary, multiclass3, multilabel14, segmentation and so on.
        model: architecture, as printed.
        defense: name in this benchmark's vocabulary; ``family`` is its defense family, ``setting`` its parameters.
        attack: cell of the matrix where one corresponds, else a name of the same manner; ``none`` without an attack.
        printed_attack: the attack as printed.
        track: track of the matrix that the paper's attacker belongs to.
        adaptive: whether the attack knew of the defense around the classifier: yes, no, unstated, or empty without one.
        norm: linf or l2; empty without a budget.
        eps_255: budget in 1/255, None without one or where not stated.
        steps: steps of the attack (queries for Square), None where not stated.
        metric: what ``value`` is; the layer in brackets where it belongs to one.
        unit: of ``value``: ``share`` in [0, 1] (printed percentages are divided by 100), ``s``, ``h``, ``ratio`` or
            ``activation``.
        set_aside: why the number must not be put beside another; empty for a sound one.
        caveat: what a reader should know about the number.
    """

    source: str
    title: str
    year: int
    table: str
    dataset: str
    modality: str
    image_size: int | None
    test_images: int | None
    task: str
    model: str
    defense: str
    family: str
    setting: str
    attack: str
    printed_attack: str
    track: str
    adaptive: str
    norm: str
    eps_255: float | None
    steps: int | None
    metric: str
    unit: str
    value: float
    set_aside: str
    caveat: str

    @property
    def where(self) -> str:
        """The place in the literature, such as ``MedRDF (2022), Table III``."""
        words = self.table if self.table.startswith("text") else f"Table {self.table}"
        return f"{self.source} ({self.year}), {words}"


UNITS = ("share", "s", "h", "ratio", "activation")
COLUMNS = tuple(field.name for field in fields(PublishedNumber))
_WHOLE = ("image_size", "test_images", "steps")


@lru_cache(maxsize=4)
def read_published(path: Path = PUBLISHED) -> tuple[PublishedNumber, ...]:
    """Read the table, in its order.

    Raises:
        BenchError: the file is missing, has other columns, or holds a value that its unit does not allow.
    """
    if not path.is_file():
        raise BenchError(f"the published numbers {path} are missing; make them again with published.restate.")
    lines = list(csv.DictReader(io.StringIO(read_text(path, "CSV"))))
    if not lines or tuple(lines[0]) != COLUMNS:
        raise BenchError(f"{path} lacks the columns of published numbers; make it again with published.restate.")
    return tuple(_number(path, line, index) for index, line in enumerate(lines, start=2))


def write_published(numbers: list[PublishedNumber], path: Path) -> None:
    """Write the table as CSV; an absent number is an empty field."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number in numbers:
            row = (getattr(number, name) for name in COLUMNS)
            writer.writerow(f"{one:g}" if isinstance(one, float) else "" if one is None else one for one in row)


def _number(path: Path, line: dict[str, str], index: int) -> PublishedNumber:
    try:
        number = PublishedNumber(
            **{name: line[name] for name in COLUMNS if name not in (*_WHOLE, "year", "eps_255", "value")},  # type: ignore[arg-type]
            **{name: int(line[name]) if line[name] else None for name in _WHOLE},  # type: ignore[arg-type]
            year=int(line["year"]),
            eps_255=float(line["eps_255"]) if line["eps_255"] else None,
            value=float(line["value"]),
        )
    except (ValueError, TypeError):
        raise BenchError(f"{path}, line {index} is no published number; make the file again.") from None
    if number.unit not in UNITS:
        raise BenchError(f"{path}, line {index} has the unknown unit '{number.unit}'; units are {', '.join(UNITS)}.")
    if number.unit == "share" and not 0.0 <= number.value <= 1.0:
        raise BenchError(f"{path}, line {index}: {number.value:g} is no share in [0, 1].")
    return number
