"""Nodes one after another, in this process."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from benchmark.engine.executors.base import Hear, Task, attempt
from benchmark.engine.graph import Find, Node
from benchmark.engine.store import read_node
from benchmark.engine.workplace import Workplace
from benchmark.memory import keep_freed_memory


def reading(files: Mapping[str, Path]) -> Find:
    """Find tables in their files."""

    def find(node: Node) -> pa.Table | None:
        return read_node(files[node.key]) if node.key in files else None

    return find


class Inline:
    """Computes a node when it is waited for.

    Args:
        workplace: the run's own.
    """

    def __init__(self, workplace: Workplace) -> None:
        keep_freed_memory()
        self.width = 1
        self._workplace = workplace
        self._task: Task | None = None

    def room(self) -> bool:
        """There is room for one node."""
        return self._task is None

    def submit(self, task: Task) -> None:
        """Keep the node until it is waited for."""
        self._task = task

    def wait(self, hear: Hear) -> None:
        """Compute the node."""
        task, self._task = self._task, None
        assert task is not None
        hear(attempt(self._workplace, task.node, reading(task.inputs), hear))

    def forget(self, key: str) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing runs."""
