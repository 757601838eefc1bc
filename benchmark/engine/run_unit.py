"""Running one unit, or finding it already done."""

from pathlib import Path

import pyarrow as pa
import torch

from benchmark.engine.attack_track import AttackTrack
from benchmark.engine.clean_track import Progress, run_clean
from benchmark.engine.coinciding import draws_on, shared, taken_over
from benchmark.engine.corruption_track import run_corruption
from benchmark.engine.diagnostics import run_diagnostics
from benchmark.engine.rows import RowBook
from benchmark.engine.settings import PARTS, Unit
from benchmark.engine.workplace import Workplace
from benchmark.interpreter import restored
from benchmark.results.schema import CLEAN, CORRUPTION, DIAGNOSTIC
from benchmark.results.store import read_table, write_table


def part_path(workplace: Workplace, unit: Unit) -> Path:
    """Where a finished unit lies; its name holds the unit's identity, so that a stale part is never found."""
    entry = workplace.entry(unit.submission)
    name = f"{unit.track}-{unit.chunk:03d}-{workplace.identity(unit)}.parquet"
    return workplace.settings.results / PARTS / unit.dataset / entry.name / name


def run_unit(workplace: Workplace, unit: Unit, progress: Progress = lambda _: None) -> pa.Table:
    """Return the unit's rows, computing and storing them unless they are there."""
    path = part_path(workplace, unit)
    table = read_table(path)
    if table is None:
        with restored():
            torch.set_num_threads(1)
            table = _compute(workplace, unit, progress)
        write_table(table, path)
    return table


def _compute(workplace: Workplace, unit: Unit, progress: Progress) -> pa.Table:
    if unit.track == CLEAN:
        return run_clean(workplace, unit, progress)
    if unit.track == CORRUPTION:
        return run_corruption(workplace, unit, progress)
    if unit.track == DIAGNOSTIC:
        return run_diagnostics(workplace, unit, progress)
    if workplace.plain_as(unit):
        (lender,) = draws_on(workplace, unit)
        return taken_over(run_unit(workplace, lender, progress), lender.track, unit.track)
    return AttackTrack(workplace, unit, shared(workplace, unit, run_unit)).run(progress)


def gap_table(workplace: Workplace, unit: Unit, reason: str) -> pa.Table:
    """Rows that say that a whole unit could not run; they are shown, never stored as done, never counted as robust."""
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    for image in range(len(split)):
        book.add_gap(image, None, reason, attack="none")
    return book.table()
