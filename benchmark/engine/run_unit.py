"""Computing a node: the rows of a unit, or what units share."""

import pyarrow as pa
import torch

from benchmark.attacks.registry import build
from benchmark.engine.attack_track import AttackTrack
from benchmark.engine.candidates import candidates_table
from benchmark.engine.clean_track import Progress, clean_table, run_clean
from benchmark.engine.coinciding import draws_on, shared, taken_over
from benchmark.engine.corruption_track import run_corruption
from benchmark.engine.diagnostics import run_diagnostics
from benchmark.engine.examples import examples_table
from benchmark.engine.fitting import fit_table, fitted
from benchmark.engine.graph import Find, Keep, Node, nothing_kept, renewed, rows_node
from benchmark.engine.rows import RowBook
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError
from benchmark.interpreter import restored
from benchmark.results.schema import CLEAN, CORRUPTION, DIAGNOSTIC


def run_node(
    workplace: Workplace,
    node: Node,
    find: Find,
    progress: Progress = lambda _: None,
    keep: Keep = nothing_kept,
) -> pa.Table:
    """Compute a node's table with one thread, so that sums are the same everywhere; nothing is stored.

    Args:
        workplace: the run.
        node: what to compute.
        find: finds the tables that it takes up.
        progress: told the share that is done.
        keep: takes what finished cells did.

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
        return _run(workplace, node, find, progress, keep)


def _run(workplace: Workplace, node: Node, find: Find, progress: Progress, keep: Keep) -> pa.Table:
    if node.kind == "rows":
        return _compute(workplace, node.unit, find, progress, keep)
    if node.kind == "clean":
        return clean_table(workplace, node.unit)
    if node.kind == "examples":
        return examples_table(workplace, node.unit)
    assert node.cell is not None
    if node.kind == "candidates":
        return candidates_table(workplace, node.unit, node.cell, node.eps)
    attack, target = build(node.cell.method, node.cell.params), workplace.target(node.unit)
    assert attack.knowledge == "training" or attack.knowledge == "answers"
    return fit_table(fitted(workplace, node.unit, node.cell, node.eps, attack, target))


def _compute(workplace: Workplace, unit: Unit, find: Find, progress: Progress, keep: Keep) -> pa.Table:
    if unit.track == CLEAN:
        return run_clean(workplace, unit, find, progress)
    if unit.track == CORRUPTION:
        return run_corruption(workplace, unit, find, progress)
    if unit.track == DIAGNOSTIC:
        return run_diagnostics(workplace, unit, find, progress, keep)

    def rows_of(source: Unit) -> pa.Table:
        """Rows of another unit, computed here where it failed: what goes wrong is then this unit's failure too."""
        table = find(rows_node(workplace, source))
        return _compute(workplace, source, find, progress, keep) if table is None else table

    if workplace.plain_as(unit):
        (lender,) = draws_on(workplace, unit)
        return taken_over(rows_of(lender), lender.track, unit.track)
    return AttackTrack(workplace, unit, find, shared(workplace, unit, rows_of), keep).run(progress)


def gap_table(workplace: Workplace, unit: Unit, reason: str) -> pa.Table:
    """Rows that say that a whole unit could not run; they are shown, never stored as done, never counted as robust."""
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    for image in range(len(split)):
        book.add_gap(image, None, reason, attack="none")
    return book.table()
