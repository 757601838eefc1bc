"""Computing a node: the rows of a unit, or what units share."""

from collections.abc import Callable

import pyarrow as pa
import torch

from benchmark.attacks.registry import build
from benchmark.engine.attack_track import AttackTrack
from benchmark.engine.candidates import candidates_table
from benchmark.engine.diagnostics import run_diagnostics
from benchmark.engine.examples import examples_table
from benchmark.engine.fitting import fit_table, fitted
from benchmark.engine.graph import Find, Node, draws_on, renewed, rows_node
from benchmark.engine.judging import clean_table
from benchmark.engine.plain_tracks import Progress, run_clean, run_corruption
from benchmark.engine.rows import RowBook
from benchmark.engine.settings import Unit
from benchmark.engine.shots import Shot, shots_of
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError
from benchmark.interpreter import restored
from benchmark.matrix import Cell
from benchmark.results.compact import compacted
from benchmark.results.schema import DIAGNOSTIC


def run_node(workplace: Workplace, node: Node, find: Find, progress: Progress = lambda _: None) -> pa.Table:
    """Compute a node's table with one thread, so that sums are the same everywhere; nothing is stored.

    Args:
        workplace: the run.
        node: what to compute.
        find: finds the tables that it takes up.
        progress: told the share that is done.

    Raises:
        BenchError: the node's files or code are others here than where the run began.
        BaseException: whatever entries and attacks raise.
    """
    if renewed(workplace, node).key != node.key:
        raise BenchError(
            f"{node}: entry, data or harness are not those that the run began with; keep them unchanged, and the same "
            "on every machine, and run it again."
        )
    with restored():
        torch.set_num_threads(1)
        return _run(workplace, node, find, progress)


def _run(workplace: Workplace, node: Node, find: Find, progress: Progress) -> pa.Table:
    if node.kind == "rows":
        return _compute(workplace, node.unit, find, progress)
    if node.kind == "clean":
        return clean_table(workplace, node.unit)
    if node.kind == "examples":
        return examples_table(workplace, node.unit)
    assert node.cell is not None
    if node.kind == "candidates":
        return candidates_table(workplace, node.unit, node.cell, node.eps)
    attack, target = build(node.cell.method, node.cell.params), workplace.target(node.unit)
    assert attack.knowledge == "training"
    return fit_table(fitted(workplace, node.unit, node.cell, node.eps, attack, target))


def _compute(workplace: Workplace, unit: Unit, find: Find, progress: Progress) -> pa.Table:
    if unit.track == "clean":
        return run_clean(workplace, unit, find, progress)
    if unit.track == "corruption":
        return run_corruption(workplace, unit, find, progress)
    if unit.track == DIAGNOSTIC:
        return run_diagnostics(workplace, unit, find, progress)
    if unit.track == "adaptive" and workplace.kind(unit.submission, unit.dataset).plain:
        (white_box,) = draws_on(workplace, unit)
        return _as_adaptive(_rows_of(workplace, white_box, find, progress))
    return AttackTrack(workplace, unit, find, _shared(workplace, unit, find)).run(progress)


def _rows_of(workplace: Workplace, unit: Unit, find: Find, progress: Progress = lambda _: None) -> pa.Table:
    """Rows of another unit, computed here where it failed: what goes wrong is then this unit's failure too."""
    table = find(rows_node(workplace, unit))
    return _compute(workplace, unit, find, progress) if table is None else table


def _as_adaptive(white_box: pa.Table) -> pa.Table:
    """A plain classifier has nothing to adapt to: its white-box verdicts count as its adaptive ones, and say so."""
    changed = {"track": "adaptive", "same_as": "white-box"}
    for name, value in changed.items():
        field = white_box.schema.field(name)
        place = white_box.schema.get_field_index(name)
        told = pa.array([value] * white_box.num_rows).cast(field.type)
        white_box = white_box.set_column(place, field, told)
    return compacted(white_box)


def _shared(workplace: Workplace, unit: Unit, find: Find) -> Callable[[Cell], dict[tuple[float, str], Shot] | None]:
    """Hand out, cell by cell, what the units that this one draws on computed; None where it draws on none."""
    sources = {source.track: source for source in draws_on(workplace, unit)}
    rows: dict[str, pa.Table] = {}

    def shots(cell: Cell) -> dict[tuple[float, str], Shot] | None:
        track, name = cell.same_as.split("/")
        if track not in sources:
            return None
        if track not in rows:
            rows[track] = _rows_of(workplace, sources[track], find)
        return shots_of(rows[track], name)

    return shots


def gap_table(workplace: Workplace, unit: Unit, reason: str) -> pa.Table:
    """Rows that say that a whole unit could not run; they are shown, never stored as done, never counted as robust."""
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    for image in range(len(split)):
        book.add_gap(image, None, reason, attack="none")
    return book.table()
