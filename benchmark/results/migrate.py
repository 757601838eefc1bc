"""Bringing rows of older schema versions to today's columns; used by the harness and by the site. Imports no torch.

Versions 1 to 3 had a row per frame of a corruption sequence, and two columns by other names.
"""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmark.errors import BenchError
from benchmark.results.schema import EMPTY, FALSE, SCHEMA, SCHEMA_VERSION

VERSION_KEY = b"medrobustbench_schema"

CONSTANT_KEY = b"medrobustbench_constant"
"""Key of a file's metadata: JSON of the columns that have one value in all of its rows."""

RENAMED = {"informative": "unranked", "spared": "skipped"}
"""Names of columns up to version 3 -> today's."""

LISTS = {"pred": "preds", "score": "scores", "copies": "copies_taken"}
"""Columns of a frame -> columns of its sequence."""

_OF_A_FRAME = (*LISTS, "correct", "abstained", "right_draws", "probs", "linf", "l2", "pixels")
"""Columns that say nothing of a sequence as a whole."""

_SEQUENCE = ("submission", "dataset", "official", "attack", "severity", "sample_id")
"""What frames of one sequence have in common."""


def version_of(file: pq.ParquetFile) -> int | None:
    """Schema version that a file states; None where it is not one of ours."""
    stated = (file.metadata.metadata or {}).get(VERSION_KEY, b"")
    return int(stated) if stated.isdigit() else None


def constants_of(file: pq.ParquetFile) -> dict[str, str]:
    """Values of the columns that a file says once for all of its rows.

    Raises:
        ValueError: they are no JSON.
    """
    told = json.loads((file.metadata.metadata or {}).get(CONSTANT_KEY, b"{}"))
    return {str(name): str(value) for name, value in told.items()}


def read_under_schema(file: pq.ParquetFile, version: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file under today's schema.

    Args:
        file: of a schema version up to today's.
        version: that version.
        columns: of a file of today's version only these are read, all others being null; all when not given.

    Raises:
        BenchError: as :func:`upgraded`.
        ArrowException, OSError, ValueError: the file is damaged.
    """
    wanted = None
    if columns is not None and version == SCHEMA_VERSION:
        wanted = [name for name in columns if name in file.schema_arrow.names]
    table = file.read(wanted)
    for name, value in constants_of(file).items():
        if columns is None or name in columns:
            table = table.append_column(name, pa.array([value] * file.metadata.num_rows, pa.string()))
    return upgraded(table, version)


def upgraded(table: pa.Table, version: int) -> pa.Table:
    """Return rows under today's schema: absent columns are null.

    Args:
        table: rows of a file.
        version: schema version that the file states, at most today's.

    Raises:
        BenchError: a column has another type, or a frame occurs twice.
    """
    if version < SCHEMA_VERSION:
        table = table.rename_columns([RENAMED.get(name, name) for name in table.column_names])
        if "frame" in table.column_names:
            table = _sequences(table)
        table = _without_what_repeats(table)
    return conformed(table)


def conformed(table: pa.Table) -> pa.Table:
    """Bring columns into order and type; columns that are not there become null, unknown ones are left out.

    Raises:
        BenchError: a column has another type.
    """
    columns = []
    for field in SCHEMA:
        if field.name not in table.column_names:
            default = "" if field.name in EMPTY else False if field.name in FALSE else None
            columns.append(pa.array([default] * table.num_rows, value_type(field.type)).cast(field.type))
            continue
        try:
            columns.append(table.column(field.name).cast(field.type))
        except pa.ArrowException:
            found = table.schema.field(field.name).type
            raise BenchError(f"column '{field.name}' has type {found}, not {field.type}") from None
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def value_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values: text instead of a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _without_what_repeats(table: pa.Table) -> pa.Table:
    """Leave out what the old versions wrote twice: a group that is the image itself, probabilities beside a verdict."""
    if {"group_id", "sample_id"} <= set(table.column_names):
        group = table.column("group_id").cast(pa.string())
        own = pc.equal(group, table.column("sample_id").cast(pa.string()))
        table = _with(table, "group_id", pc.if_else(pc.fill_null(own, False), pa.scalar(None, pa.string()), group))
    return table


def _with(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, column) if place >= 0 else table.append_column(name, column)


def _sequences(table: pa.Table) -> pa.Table:
    """Join the rows of each sequence's frames; other rows stay as they are."""
    framed = pc.is_valid(table.column("frame"))
    others = table.filter(pc.invert(framed)).drop_columns(["frame"])
    frames = table.filter(framed)
    if frames.num_rows == 0:
        return others
    joined = _joined(frames)
    both = pa.unify_schemas([_loose(others.schema), _loose(joined.schema)], promote_options="permissive")
    return pa.concat_tables([_fitted(others, both), _fitted(joined, both)])


def _loose(schema: pa.Schema) -> pa.Schema:
    """Plain text instead of dictionaries, which differ between tables."""
    return pa.schema([pa.field(one.name, value_type(one.type)) for one in schema])


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _joined(frames: pa.Table) -> pa.Table:
    """One row a sequence: the columns of its first frame, and lists in the order of frames."""
    keys = frames.select([*_SEQUENCE, "frame"]).to_pandas()
    number = keys.groupby(list(_SEQUENCE), observed=True, sort=False, dropna=False).ngroup().to_numpy()
    order = np.lexsort((keys["frame"].to_numpy(), number))
    number, frame = number[order], keys["frame"].to_numpy()[order]
    if bool(((np.diff(number) == 0) & (np.diff(frame) == 0)).any()):
        raise BenchError("a frame of a corruption sequence occurs twice")
    frames = frames.take(pa.array(order))
    starts = np.flatnonzero(np.r_[True, np.diff(number) != 0])
    joined = frames.take(pa.array(starts)).drop_columns(["frame"])
    offsets = pa.array(np.r_[starts, len(number)].astype(np.int32))
    for source, target in LISTS.items():
        if source in frames.column_names and frames.column(source).null_count < frames.num_rows:
            kind = SCHEMA.field(target).type
            values = frames.column(source).combine_chunks().cast(kind.value_type)
            joined = _with(joined, target, pa.ListArray.from_arrays(offsets, values))
    for name in set(_OF_A_FRAME) & set(joined.column_names):
        joined = _with(joined, name, pa.nulls(joined.num_rows, joined.schema.field(name).type))
    return _told(joined, frames, starts, length=int(frame.max()) + 1)


def _told(joined: pa.Table, frames: pa.Table, starts: NDArray[np.int64], length: int) -> pa.Table:
    """Mark sequences that lack a frame, or a verdict on one, as gaps, with the reason of the first such frame."""
    judged = pc.equal(frames.column("status").cast(pa.string()), "ok").to_numpy()
    whole = np.add.reduceat(judged.astype(np.int64), starts) == length
    reasons = joined.column("reason").to_pylist()
    ends = np.r_[starts[1:], len(judged)]
    for place in np.flatnonzero(~whole):
        unjudged = starts[place] + np.flatnonzero(~judged[starts[place] : ends[place]])
        reasons[place] = frames.column("reason")[int(unjudged[0])].as_py() if len(unjudged) else "a frame is missing"
    joined = _with(joined, "reason", pa.array(reasons, pa.string()))
    return _with(joined, "status", pa.array(np.where(whole, "ok", "gap").tolist(), pa.string()))
