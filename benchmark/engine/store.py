"""Where tables of nodes lie, and how they are written and read: only the process that drives a run writes."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from benchmark.engine.graph import Node
from benchmark.engine.settings import PARTS
from benchmark.engine.workplace import Workplace
from benchmark.files import write_atomically
from benchmark.results.store import read_table, write_table

ROWS, BESIDE = ".parquet", ".arrow"
"""Suffixes of a unit's rows, and of the tables of all other nodes."""


def read_node(path: Path) -> pa.Table | None:
    """Return a node's table; None where the file is missing or damaged."""
    if path.suffix == ROWS:
        return read_table(path)
    try:
        with pa.OSFile(str(path)) as file:
            return pa.ipc.open_file(file).read_all()
    except (pa.ArrowInvalid, OSError):
        return None


class Store:
    """Finished nodes under the results folder of a run."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def path(self, node: Node) -> Path:
        """Where a node's table lies; the name holds its key, so that a stale one is never found."""
        unit, folder = node.unit, self._workplace.settings.results / PARTS / node.unit.dataset
        if unit.submission:
            folder /= self._workplace.entry(unit.submission).name
        what = unit.track if node.kind == "rows" else node.kind
        if node.cell is not None:
            what += f"-{node.cell.name}-{node.eps:g}"
        suffix = ROWS if node.kind == "rows" else BESIDE
        return folder / f"{what}-{unit.chunk:03d}-{node.key}{suffix}"

    def read(self, node: Node) -> pa.Table | None:
        """Return a node's table; None where it is not there or damaged."""
        return read_node(self.path(node))

    def holds(self, node: Node) -> bool:
        """Whether the node's table is there and whole."""
        path = self.path(node)
        if node.kind == "rows":
            return read_table(path) is not None
        try:
            # A file that was cut off lacks its end, which says where its parts are.
            with pa.OSFile(str(path)) as file:
                pa.ipc.open_file(file)
        except (pa.ArrowInvalid, OSError):
            return False
        return True

    def write(self, node: Node, table: pa.Table) -> None:
        """Store a node's table, in one move.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        path = self.path(node)
        if node.kind == "rows":
            write_table(table, path)
            return
        sink = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        write_atomically(path, sink.getvalue())
