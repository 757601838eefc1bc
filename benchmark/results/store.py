"""Writing result tables: atomic, schema-checked, official rows protected."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.errors import BenchError
from benchmark.files import write_atomically
from benchmark.results.schema import SCHEMA, SCHEMA_VERSION


def write_table(table: pa.Table, path: Path) -> None:
    """Write rows as compressed Parquet, in one move."""
    sink = io.BytesIO()
    pq.write_table(table.cast(SCHEMA), sink, compression="zstd", compression_level=9)
    write_atomically(path, sink.getvalue())


def read_table(path: Path) -> pa.Table | None:
    """Read a part, of an older schema with nulls for newer columns; None when missing or damaged, to be made again."""
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowInvalid, OSError):
        return None
    stated = (table.schema.metadata or {}).get(b"medrobustbench_schema", b"")
    older = stated.isdigit() and int(stated) < SCHEMA_VERSION
    missing = set(SCHEMA.names) - set(table.schema.names)
    if set(table.schema.names) - set(SCHEMA.names) or (missing and not older):
        return None
    known = {name: table.column(name) for name in table.schema.names}
    columns = [known.get(field.name, pa.nulls(table.num_rows, field.type)) for field in SCHEMA]
    return pa.Table.from_arrays(columns, names=SCHEMA.names).cast(SCHEMA)


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
