"""Running one unit, or finding it already done."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import torch

from benchmark.engine.attack_track import AttackTrack
from benchmark.engine.diagnostics import run_diagnostics
from benchmark.engine.plain_tracks import Progress, run_clean, run_corruption
from benchmark.engine.rows import RowBook
from benchmark.engine.settings import PARTS, Unit
from benchmark.engine.shots import Shot, shots_of
from benchmark.engine.workplace import Workplace
from benchmark.interpreter import restored
from benchmark.matrix import Cell
from benchmark.results.compact import compacted
from benchmark.results.schema import DIAGNOSTIC
from benchmark.results.store import read_table, write_table


def part_path(workplace: Workplace, unit: Unit) -> Path:
    """Where a finished unit lies; its name holds the unit's identity, so that a stale part is never found."""
    entry = workplace.entry(unit.submission)
    name = f"{unit.track}-{unit.chunk:03d}-{workplace.identity(unit)}.parquet"
    return workplace.settings.results / PARTS / unit.dataset / entry.name / name


def draws_on(workplace: Workplace, unit: Unit) -> frozenset[Unit]:
    """The units whose rows this one takes over, whole or for some cells, where the defense makes two views coincide.

    The scores of a plain classifier are the same in the white-box and the black-box track; the deployed scores of a
    deterministic defense are the same in the adaptive and the black-box track.
    """
    if unit.track not in ("white-box", "adaptive"):
        return frozenset()
    kind = workplace.kind(unit.submission, unit.dataset)
    if unit.track == "adaptive" and kind.plain:
        tracks = {"white-box"}
    elif kind.plain if unit.track == "white-box" else not kind.stochastic:
        tracks = {cell.lender for cell in workplace.cells_of(unit) if cell.same_as}
    else:
        tracks = set()
    return frozenset(replace(unit, track=track) for track in tracks)


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
    if unit.track == "clean":
        return run_clean(workplace, unit, progress)
    if unit.track == "corruption":
        return run_corruption(workplace, unit, progress)
    if unit.track == DIAGNOSTIC:
        return run_diagnostics(workplace, unit, progress)
    if unit.track == "adaptive" and workplace.kind(unit.submission, unit.dataset).plain:
        (white_box,) = draws_on(workplace, unit)
        return _as_adaptive(run_unit(workplace, white_box, progress))
    return AttackTrack(workplace, unit, _shared(workplace, unit)).run(progress)


def _as_adaptive(white_box: pa.Table) -> pa.Table:
    """A plain classifier has nothing to adapt to: its white-box verdicts count as its adaptive ones, and say so."""
    changed = {"track": "adaptive", "same_as": "white-box"}
    for name, value in changed.items():
        field = white_box.schema.field(name)
        place = white_box.schema.get_field_index(name)
        told = pa.array([value] * white_box.num_rows).cast(field.type)
        white_box = white_box.set_column(place, field, told)
    return compacted(white_box)


def _shared(workplace: Workplace, unit: Unit) -> Callable[[Cell], dict[tuple[float, str], Shot] | None]:
    """Hand out, cell by cell, what the units that this one draws on computed; None where it draws on none."""
    sources = {source.track: source for source in draws_on(workplace, unit)}

    def shots(cell: Cell) -> dict[tuple[float, str], Shot] | None:
        track, name = cell.same_as.split("/")
        return shots_of(run_unit(workplace, sources[track]), name) if track in sources else None

    return shots


def gap_table(workplace: Workplace, unit: Unit, reason: str) -> pa.Table:
    """Rows that say that a whole unit could not run; they are shown, never stored as done, never counted as robust."""
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    for image in range(len(split)):
        book.add_gap(image, None, reason, attack="none")
    return book.table()
