"""Recomputing a few images of rows that are there already, to see whether the same verdicts come out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.engine.evaluate import Event, evaluate
from benchmark.engine.settings import RunSettings
from benchmark.results.store import read_table

IDENTITY = ("attack", "norm", "eps_255", "severity", "sample_id")
"""Columns that name a row inside its track."""

VERDICT = ("status", "pred", "correct", "preds")
"""Columns that must be equal; figures such as distances may differ in their last digits on another processor."""


@dataclass(frozen=True)
class Recomputed:
    """Rows of one track: how many were compared, how many have another verdict, and which attacks those are of."""

    track: str
    rows: int
    differ: int
    attacks: tuple[str, ...]


def rerun(
    settings: RunSettings,
    submission: str,
    dataset: str,
    stored: Mapping[str, pd.DataFrame],
    workers: int = 1,
    on_event: Callable[[Event, float], None] = lambda _event, _share: None,
) -> list[Recomputed]:
    """Evaluate an entry again on the first images of the official subset and compare verdicts with stored rows.

    Args:
        settings: ``limit`` is the number of images, ``results`` a folder for the new rows.
        submission: name of the entry.
        dataset: name of the data set.
        stored: track -> rows to compare with; only these tracks are run.
        workers: processes.
        on_event: as for :func:`benchmark.engine.evaluate.evaluate`.

    Raises:
        BenchError: the entry or its data are not here.
    """
    report = evaluate(settings, [submission], [dataset], list(stored), workers, on_event)
    fresh = {path.stem: path for path in report.files}
    return [_compared(track, fresh[track], rows) for track, rows in stored.items() if track in fresh]


def _frame(path: Path) -> pd.DataFrame:
    table = read_table(path)
    return pd.DataFrame() if table is None else table.select([*IDENTITY, *VERDICT]).to_pandas()


def _compared(track: str, path: Path, stored: pd.DataFrame) -> Recomputed:
    ours = _comparable(_frame(path))
    both = ours.join(_comparable(stored).rename(columns={"verdict": "verdict_stored"}), how="left")
    differs = (both["verdict"] != both["verdict_stored"]).to_numpy()
    attacks = both.index.get_level_values("attack")[differs].unique()
    return Recomputed(track, len(both), int(differs.sum()), tuple(sorted(attacks)))


def _comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """One text a row for its verdict, by what names the row."""
    named = {name: [_text(value) for value in rows[name].astype(object)] for name in IDENTITY}
    columns = ([_text(value) for value in rows[name].astype(object)] for name in VERDICT)
    # The predictions of a sequence are its whole verdict; a measurement, such as a gradient's size, has none.
    told = [
        preds or (f"{status}|{pred}|{correct}" if pred else status)
        for status, pred, correct, preds in zip(*columns, strict=True)
    ]
    return pd.DataFrame({"verdict": told, **named}).set_index(list(IDENTITY))


def _text(value: object) -> str:
    """A value as text: the same whether its column has gaps, which make numbers floats, or none."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return str(value)
    return f"{float(value):g}"
