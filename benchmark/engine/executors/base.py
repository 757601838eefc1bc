"""What an executor is, what it is given and what it tells."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from benchmark.engine.graph import Find, Node
from benchmark.engine.run_unit import run_node
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError
from benchmark.host.line import CallFailed, HostFailed
from benchmark.interrupts import is_the_users


@dataclass(frozen=True)
class Task:
    """A node to compute.

    Attributes:
        node: the node.
        inputs: key of each node that it takes up and that is stored -> file of its table.
    """

    node: Node
    inputs: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class News:
    """News of a node: a share done, the end with its table, or a failure with its reason.

    Attributes:
        kept: files to write now, such as what a finished cell did; a unit that is broken off goes on from them.
    """

    node: Node
    share: float = 0.0
    table: pa.Table | None = None
    failure: str = ""
    kept: tuple[tuple[Path, bytes], ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of this node."""
        return self.table is not None or bool(self.failure)


Hear = Callable[[News], None]


class Executor(Protocol):
    """Computes nodes that are ready, in any order. It stores nothing: tables go back to whoever drives the run.

    Attributes:
        width: nodes that are computed at once, at most.
    """

    width: int

    def room(self) -> bool:
        """Whether another node may be handed over now."""
        ...

    def submit(self, task: Task) -> None:
        """Take a node; its inputs are stored."""
        ...

    def wait(self, hear: Hear) -> None:
        """Block until there is news of a node, and tell it. There is a node in hand.

        The death of whoever computes a node is a failure of that node, with its reason, and of no other.
        """
        ...

    def forget(self, key: str) -> None:
        """No node to come takes up the node of this key."""
        ...

    def close(self) -> None:
        """Stop at once, whatever is in hand."""
        ...


class Orphaned(BaseException):
    """Nobody listens to this worker any more; no Exception, so that the attack at work takes it for no failure."""


def attempt(workplace: Workplace, node: Node, find: Find, hear: Hear) -> News:
    """Compute a node; whatever goes wrong in it is its failure, and nobody else's."""
    last = 0.0

    def progress(share: float) -> None:
        nonlocal last
        last = share
        hear(News(node, share))

    def keep(path: Path, content: bytes) -> None:
        hear(News(node, last, kept=((path, content),)))

    try:
        table = run_node(workplace, node, find, progress, keep)
    except (BenchError, CallFailed, HostFailed) as error:
        return News(node, failure=str(error))
    except Orphaned:
        raise
    except KeyboardInterrupt as error:
        if is_the_users():
            raise
        return _failed(node, error)
    except BaseException as error:
        # An entry that calls sys.exit, or raises what only the interpreter raises, must not end the run of all others.
        return _failed(node, error)
    return News(node, 1.0, table)


def _failed(node: Node, error: BaseException) -> News:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return News(node, failure=f"{type(error).__name__}: {error} ({where.filename.split('/')[-1]}:{where.lineno})")
