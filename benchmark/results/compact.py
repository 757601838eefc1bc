"""What attack rows keep: three decimals, and nothing that another row says already. Imports no torch."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmark.results.schema import NORMS, REPEATED, SCHEMA, WITHOUT_ATTACKER

DECIMALS = 3

DISTANCE = {"linf": "linf", "l2": "l2", "l0": "pixels"}
"""Norm -> column of the distance in it, the one distance that a row keeps."""


def compacted(table: pa.Table) -> pa.Table:
    """Return rows under the schema without what a reader can get elsewhere; clean and corruption rows as they are.

    Probabilities of attack rows lose their last class, which has the rest, and get three decimals, like distances.
    Skipped and repeated rows leave costs, probabilities and scores to the row that they follow from.
    """
    attacked = ~_is_in(table, "track", WITHOUT_ATTACKER)
    if not attacked.any():
        return table
    repeated = attacked & ~_empty(table, "same_as")
    skipped = attacked & _true(table, "skipped")
    gone = skipped | repeated
    table = _with(table, "probs_but_last", _but_last(table, attacked & ~gone))
    table = _nulled(table, ("probs",), attacked)
    table = _nulled(table, ("score", "copies", "queries", "gradients", "seconds"), gone)
    table = _nulled(table, REPEATED, repeated)
    for norm in NORMS:
        elsewhere = (attacked & ~_is_in(table, "norm", (norm,))) | gone
        table = _nulled(table, (DISTANCE[norm],), elsewhere)
    for name in ("linf", "l2"):
        table = _with(table, name, _rounded(table, name))
    return _with(table, "seconds", _two_digits(table))


def _with(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(SCHEMA.names.index(name), SCHEMA.field(name), column.cast(SCHEMA.field(name).type))


def _nulled(table: pa.Table, names: tuple[str, ...], where: NDArray[np.bool_]) -> pa.Table:
    for name in names:
        kept = pc.if_else(pa.array(where), pa.scalar(None, SCHEMA.field(name).type), table.column(name))
        table = _with(table, name, kept)
    return table


def _texts(table: pa.Table, name: str) -> pa.ChunkedArray:
    return pc.fill_null(table.column(name).cast(pa.string()), "")


def _is_in(table: pa.Table, name: str, values: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.asarray(pc.is_in(_texts(table, name), pa.array(values)))


def _empty(table: pa.Table, name: str) -> NDArray[np.bool_]:
    return np.asarray(pc.equal(_texts(table, name), ""))


def _true(table: pa.Table, name: str) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(table.column(name), False))


def _but_last(table: pa.Table, kept: NDArray[np.bool_]) -> pa.Array:
    """Probabilities of all classes but the last, from ``probs`` where they are there, else as they stand."""
    whole, partly = table.column("probs").to_pylist(), table.column("probs_but_last").to_pylist()
    told = [
        None if not keep else part if all_of is None else [round(value, DECIMALS) for value in all_of[:-1]]
        for keep, all_of, part in zip(kept.tolist(), whole, partly, strict=True)
    ]
    return pa.array(told, SCHEMA.field("probs_but_last").type)


def _rounded(table: pa.Table, name: str) -> pa.Array:
    values = table.column(name).to_numpy().astype(np.float64)
    return pa.array(np.round(values, DECIMALS), pa.float32(), from_pandas=True)


def _two_digits(table: pa.Table) -> pa.Array:
    values = table.column("seconds").to_numpy().astype(np.float64)
    told = [float(f"{value:.2g}") for value in np.nan_to_num(values)]
    return pa.array(np.where(np.isnan(values), np.nan, told), pa.float32(), from_pandas=True)
