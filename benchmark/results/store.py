"""Writing result tables: atomic, schema-checked, official rows protected."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmark.errors import BenchError
from benchmark.files import write_atomically
from benchmark.results.migrate import CONSTANT_KEY, VERSION_KEY, read_under_schema, value_type, version_of
from benchmark.results.schema import CONSTANT, EMPTY, ESSENTIAL, FALSE, OF_A_RUN, SCHEMA, SCHEMA_VERSION


def write_table(table: pa.Table, path: Path) -> None:
    """Write rows as compressed Parquet, in one move.

    Columns that hold throughout what readers take an absent one for are left out; nothing else of the table is.
    """
    write_atomically(path, to_bytes(table))


def to_bytes(table: pa.Table) -> bytes:
    """The Parquet file of some rows; the same rows give the same bytes."""
    table = table.cast(SCHEMA)
    once = _said_once(table)
    kept = [
        name
        for name in SCHEMA.names
        if name in (*ESSENTIAL, *OF_A_RUN) or (name not in once and not _tells_nothing(name, table.column(name)))
    ]
    # Plain text columns: the dictionary type of a column in memory would be stored as kilobytes of metadata.
    plain = pa.schema([pa.field(name, value_type(SCHEMA.field(name).type)) for name in kept])
    rows = table.select(kept).cast(plain)
    sink = io.BytesIO()
    with new_writer(sink, plain, level=19, dictionary=_with_dictionary(rows)) as writer:
        if once:
            writer.add_key_value_metadata({CONSTANT_KEY: json.dumps(once).encode()})
        writer.write_table(rows, row_group_size=1 << 20)
    return sink.getvalue()


def new_writer(
    sink: io.BytesIO | Path, schema: pa.Schema, level: int, dictionary: bool | list[str] = True
) -> pq.ParquetWriter:
    """A writer of rows that states their schema version and little else beside them.

    Args:
        sink: where it writes.
        schema: of the rows.
        level: of zstd.
        dictionary: whether values are numbered, or the columns whose values are.
    """
    writer = pq.ParquetWriter(
        *(sink, schema),
        compression="zstd",
        compression_level=level,
        store_schema=False,
        write_statistics=False,
        use_dictionary=dictionary,
    )
    writer.add_key_value_metadata({VERSION_KEY: str(SCHEMA_VERSION).encode()})
    return writer


_PLAIN = ("sample_id", "queries", "gradients")
"""Columns that are smaller without a dictionary of their values."""


def _with_dictionary(rows: pa.Table) -> list[str]:
    """Columns that are smaller with a dictionary: those of more than one value, these few aside."""
    return [
        f"{name}.list.element" if pa.types.is_list(column.type) else name
        for name, column in zip(rows.column_names, rows.columns, strict=True)
        if name not in _PLAIN and (pa.types.is_list(column.type) or len(pc.unique(column)) > 1)
    ]


def _said_once(table: pa.Table) -> dict[str, str]:
    """Columns that have one value in all rows, of those that may be said once: as columns they cost too much."""
    values = {name: pc.unique(table.column(name).cast(pa.string())).to_pylist() for name in CONSTANT}
    return {name: found[0] for name, found in values.items() if len(found) == 1 and found[0]}


def _tells_nothing(name: str, column: pa.ChunkedArray) -> bool:
    """Whether a column holds throughout what readers take an absent one for: null, or empty text or false in some.

    In others false is not null: an image on which nothing was right is not one without a verdict.
    """
    if column.null_count == len(column):
        return True
    if name not in (*EMPTY, *FALSE):
        return False
    values = pc.unique(column.cast(value_type(column.type))).to_pylist()
    return all(value is None or value == "" or value is False for value in values)


def read_table(path: Path) -> pa.Table | None:
    """Read a part, of any schema version up to this one; None when missing or damaged, to be made again."""
    if not path.is_file():
        return None
    try:
        file = pq.ParquetFile(path)
        version = version_of(file)
        return None if version is None or version > SCHEMA_VERSION else read_under_schema(file, version)
    except (pa.ArrowException, OSError, KeyError, ValueError, BenchError):
        return None


def refuse_to_replace_official(path: Path, official: bool) -> None:
    """Keep a casual run from overwriting an official number.

    Raises:
        BenchError: ``path`` holds official rows and the new ones are not.
    """
    if not official and path.is_file() and _holds_official(path):
        raise BenchError(
            f"{path} holds official rows and this run is not official (limit, profile or --individual); "
            "give another folder with --results."
        )


def _holds_official(path: Path) -> bool:
    """Look at one column only: rows that another version wrote are guarded too, a damaged file is not worth it."""
    try:
        table = pq.read_table(path, columns=["official"], partitioning=None)
    except (pa.ArrowInvalid, OSError):
        return False
    return "official" in table.schema.names and any(table.column("official").to_pylist())
