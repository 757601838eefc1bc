"""Writing result tables: atomic, schema-checked, official rows protected."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.errors import BenchError
from benchmark.files import write_atomically
from benchmark.results.migrate import VERSION_KEY, upgraded, version_of
from benchmark.results.schema import ESSENTIAL, SCHEMA, SCHEMA_VERSION


def write_table(table: pa.Table, path: Path) -> None:
    """Write rows as compressed Parquet, in one move.

    Columns that are null throughout are left out; nothing else of the table is.
    """
    write_atomically(path, to_bytes(table))


def to_bytes(table: pa.Table) -> bytes:
    """The Parquet file of some rows; the same rows give the same bytes."""
    table = table.cast(SCHEMA)
    kept = [name for name in SCHEMA.names if name in ESSENTIAL or table.column(name).null_count < table.num_rows]
    # Plain text columns: the dictionary type of a column in memory would be stored as kilobytes of metadata.
    plain = pa.schema([pa.field(name, _plain(SCHEMA.field(name).type)) for name in kept])
    told = {VERSION_KEY: str(SCHEMA_VERSION).encode()}
    sink = io.BytesIO()
    pq.write_table(
        table.select(kept).cast(plain).replace_schema_metadata(told),
        sink,
        compression="zstd",
        compression_level=19,
        store_schema=False,
        write_statistics=False,
        row_group_size=1 << 20,
    )
    return sink.getvalue()


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def read_table(path: Path) -> pa.Table | None:
    """Read a part, of any schema version up to this one; None when missing or damaged, to be made again."""
    if not path.is_file():
        return None
    try:
        table = pq.ParquetFile(path).read()
        version = version_of(table.schema)
        return None if version is None or version > SCHEMA_VERSION else upgraded(table, version)
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
