"""Nodes on a Ray cluster, which may lose machines while they work.

Cards, data, entries and surrogates are read by each worker process from the project's and the data folder, once; both
have to be visible under the same paths on every machine, as on a shared file system. Tables of nodes travel through
Ray's object store: each is put there once, whoever takes it up. The results folder is touched by the driver alone.
"""

import os
import socket
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmark.engine.executors.base import Hear, News, Task, attempt
from benchmark.engine.executors.choice import Engine
from benchmark.engine.graph import Node
from benchmark.engine.settings import RunSettings
from benchmark.engine.store import read_node
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError
from benchmark.interrupts import listening
from benchmark.memory import keep_freed_memory

RETRIES = 3
"""Times that a node is computed again after the machine or the process that had it was lost."""

PATIENCE = 10.0
"""Seconds in which a cluster has to take up a connection."""

QUEUED = 2
"""Nodes handed to Ray for each that it has room for: enough to keep it busy, few enough to keep its memory small."""


def the_ray() -> Any:
    """Import Ray.

    Raises:
        BenchError: it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise BenchError(
            "engine 'ray' needs Ray, which is not installed; run: pip install 'medrobustbench[ray]', or choose "
            "--engine processes."
        ) from None
    return ray


def _knock(address: str) -> None:
    """Fail at once where nobody listens at host:port; Ray itself would wait for a minute.

    Raises:
        OSError: nobody listens.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.removeprefix("ray://"), int(port)), PATIENCE).close()


class RayCluster:
    """Computes nodes as tasks of a cluster: a running one where it has an address, else one on this machine.

    Args:
        settings: how to run.
        engine: address, cores and GPUs of a node, and nodes at once at most.

    Raises:
        BenchError: Ray is not installed, there is no such cluster, or it has not the cores or GPUs of one node.
    """

    def __init__(self, settings: RunSettings, engine: Engine) -> None:
        self._ray = ray = the_ray()
        self._settings = settings
        self._engine = engine
        self._ours = not ray.is_initialized()
        address = engine.address or os.environ.get("RAY_ADDRESS") or "local"
        if self._ours:
            cores = {"num_cpus": engine.workers} if address == "local" and engine.workers else {}
            try:
                _knock(address)
                ray.init(address=address, logging_level="ERROR", log_to_driver=False, **cores)
            except (OSError, ValueError, RuntimeError) as error:
                raise BenchError(
                    f"no Ray cluster answers at '{address}' ({str(error).splitlines()[0]}); give the address that "
                    "'ray start --head' printed, or leave --address out to start one on this machine."
                ) from None
        needed = {"num_cpus": engine.num_cpus, "num_gpus": engine.num_gpus}
        self._task = ray.remote(_compute).options(max_retries=RETRIES, **needed)
        self._tables: dict[str, Any] = {}
        self._in_hand: dict[Any, Node] = {}
        self.width = self._slots()
        if not self.width:
            self.close()
            raise BenchError(
                f"the cluster has no room for a node of {engine.num_cpus:g} cores and {engine.num_gpus:g} GPUs; "
                "lower --num-cpus or --num-gpus, or add machines."
            )

    def _slots(self) -> int:
        """Nodes that the machines have room for, machine by machine; machines come and go."""
        room = 0
        for machine in self._ray.nodes():
            held = machine["Resources"] if machine["Alive"] else {}
            wanted = {"CPU": self._engine.num_cpus, "GPU": self._engine.num_gpus}
            room += int(min((held.get(name, 0.0) / count for name, count in wanted.items() if count), default=0))
        return room if self._engine.workers is None else min(room, self._engine.workers)

    def room(self) -> bool:
        """Whether a task more keeps the queue short."""
        return len(self._in_hand) < QUEUED * max(1, self._slots())

    def submit(self, task: Task) -> None:
        """Start a task; the tables that it takes up are put into the object store unless they are there."""
        held = {key: found for key, path in task.inputs.items() if (found := self._put(key, path)) is not None}
        self._in_hand[self._task.remote(self._settings, task.node, held)] = task.node

    def _put(self, key: str, path: Path) -> Any:
        if key not in self._tables:
            table = read_node(path)
            self._tables[key] = None if table is None else self._ray.put(table)
        return self._tables[key]

    def wait(self, hear: Hear) -> None:
        """Wait for a task to end. Ray computes those again whose machine or process was lost."""
        ended: list[Any] = []
        while not ended:
            # Now and then back to Python, so that a Ctrl-C is noticed.
            ended, _ = self._ray.wait(list(self._in_hand), num_returns=1, timeout=1.0)
        for reference in ended:
            node = self._in_hand.pop(reference)
            try:
                news = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                why = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
                news = News(node, failure=f"the worker process died {RETRIES + 1} times ({why})")
            hear(news)

    def forget(self, key: str) -> None:
        """Drop a table from the object store."""
        self._tables.pop(key, None)

    def close(self) -> None:
        """Cancel what runs, and end the cluster if it was started here."""
        for reference in self._in_hand:
            self._ray.cancel(reference, force=True)
        self._in_hand.clear()
        self._tables.clear()
        if self._ours:
            self._ray.shutdown()


@lru_cache(maxsize=1)
def _workplace(settings: RunSettings) -> Workplace:
    """Kept by a worker process from node to node."""
    keep_freed_memory()
    return Workplace(settings)


def _compute(settings: RunSettings, node: Node, held: dict[str, Any]) -> News:
    """A task: compute a node, in a worker process of the cluster."""
    ray = the_ray()

    def find(wanted: Node) -> pa.Table | None:
        return ray.get(held[wanted.key]) if wanted.key in held else None

    kept: list[tuple[Path, bytes]] = []
    with listening():
        news = attempt(_workplace(settings), node, find, lambda news: kept.extend(news.kept))
    return replace(news, kept=tuple(kept))
