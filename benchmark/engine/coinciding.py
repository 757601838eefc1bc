"""Where two views of a defense coincide: one unit takes over rows of another, and says so."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pyarrow as pa

from benchmark.engine.settings import Unit
from benchmark.engine.shots import Shot, shots_of
from benchmark.engine.workplace import Workplace
from benchmark.matrix import Cell
from benchmark.results.compact import compacted
from benchmark.results.schema import DIAGNOSTIC


def draws_on(workplace: Workplace, unit: Unit) -> frozenset[Unit]:
    """The units whose rows this one takes over, whole or for some cells, where the defense makes two views coincide.

    The scores of a plain classifier are the same in the white-box and the black-box track; the deployed scores of a
    deterministic defense are the same in the adaptive and the black-box track.
    """
    view = "" if unit.track == DIAGNOSTIC else workplace.matrix.named(unit.track).view
    if view not in ("undefended", "everything"):
        return frozenset()
    kind = workplace.kind(unit.submission, unit.dataset)
    if lender := workplace.plain_as(unit):
        tracks = {lender}
    elif kind.plain if view == "undefended" else not kind.stochastic:
        tracks = {cell.lender for cell in workplace.cells_of(unit) if cell.same_as}
    else:
        tracks = set()
    return frozenset(replace(unit, track=track) for track in tracks)


def taken_over(rows: pa.Table, lender: str, track: str) -> pa.Table:
    """A plain classifier has nothing to adapt to: its white-box verdicts count as its adaptive ones, and say so."""
    for name, value in {"track": track, "same_as": lender}.items():
        field = rows.schema.field(name)
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, field, pa.array([value] * rows.num_rows).cast(field.type))
    return compacted(rows)


def shared(
    workplace: Workplace, unit: Unit, rows_of: Callable[[Unit], pa.Table]
) -> Callable[[Cell], dict[tuple[float, str], Shot] | None]:
    """Hand out, cell by cell, what the units that this one draws on computed; None where it draws on none."""
    sources = {source.track: source for source in draws_on(workplace, unit)}
    rows = cache(rows_of)

    def shots(cell: Cell) -> dict[tuple[float, str], Shot] | None:
        track, name = cell.same_as.split("/")
        return shots_of(rows(sources[track]), name) if track in sources else None

    return shots
