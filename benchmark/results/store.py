"""Writing result tables: atomic, schema-checked, official rows protected."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.errors import BenchError
from benchmark.files import write_atomically
from benchmark.results.schema import SCHEMA


def write_table(table: pa.Table, path: Path) -> None:
    """Write rows as compressed Parquet, in one move."""
    sink = io.BytesIO()
    pq.write_table(table.cast(SCHEMA), sink, compression="zstd", compression_level=9)
    write_atomically(path, sink.getvalue())


def read_table(path: Path) -> pa.Table | None:
    """Read a part that this version wrote; None when it is missing or damaged, so that it is made again."""
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowInvalid, OSError):
        return None
    return table.cast(SCHEMA) if set(table.schema.names) == set(SCHEMA.names) else None


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
