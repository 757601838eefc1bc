"""The CSV file of a split: ids, labels, patients and, where images are files of their own, these. Imports no torch."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.card import Card, SplitName
from benchmark.errors import BenchError, did_you_mean
from benchmark.files import read_text


@dataclass(frozen=True)
class Table:
    """What a split's CSV file says, image by image.

    Attributes:
        ids: names of the images.
        labels: (N,) int64, places in the card's classes.
        patients: names of the patients; the ids where there are none.
        files: paths of image files and their sha256, where the table has them.
    """

    ids: tuple[str, ...]
    labels: NDArray[Any]
    patients: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV file with a line of column names; returns these and the rows.

    Raises:
        BenchError: it cannot be read, names no columns or one twice, or a row has more or fewer cells.
    """
    text = read_text(path, "CSV")
    head = text.partition("\n")[0]
    # Spreadsheets of some countries write semicolons.
    delimiter = next((mark for mark in (",", ";", "\t") if mark in head), ",")
    lines = [line for line in csv.reader(io.StringIO(text), delimiter=delimiter) if any(cell.strip() for cell in line)]
    if not lines:
        raise BenchError(f"{path} is empty; give a CSV file with a line of column names.")
    columns = [cell.strip() for cell in lines[0]]
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise BenchError(f"{path} has two columns '{twice}'; rename one.")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(columns):
            raise BenchError(
                f"{path}: row {number} has {len(line)} cells but there are {len(columns)} columns; mend it."
            )
    return columns, [{name: cell.strip() for name, cell in zip(columns, line, strict=True)} for line in lines[1:]]


def read_table(card: Card, split: SplitName, path: Path, with_files: bool = False) -> Table:
    """Read the CSV file of a split.

    Raises:
        BenchError: a column is missing, a label is no class, or the number of rows is not the card's.
    """
    columns, rows = read_rows(path)
    for column in (
        "id",
        "label",
        *(("patient",) if card.patient_ids else ()),
        *(("file", "sha256") if with_files else ()),
    ):
        if column not in columns:
            raise BenchError(f"{path} has no column '{column}'.{did_you_mean(column, columns)}")
    if len(rows) != card.splits.of(split):
        raise BenchError(
            f"{path} has {len(rows)} rows but the card says {card.splits.of(split)} images; correct one of them."
        )
    place = {name: number for number, name in enumerate(card.classes)}
    unknown = next((row["label"] for row in rows if row["label"] not in place), None)
    if unknown is not None:
        raise BenchError(f"{path}: label '{unknown}' is no class of the card.{did_you_mean(unknown, card.classes)}")
    ids = tuple(row["id"] for row in rows)
    return Table(
        ids,
        np.array([place[row["label"]] for row in rows], dtype=np.int64),
        tuple(row["patient"] for row in rows) if card.patient_ids else ids,
        tuple((row["file"], row["sha256"]) for row in rows) if with_files else (),
    )
