"""Which executor a run has."""

from dataclasses import dataclass
from typing import Literal

from benchmark.engine.executors.base import Executor
from benchmark.engine.executors.inline import Inline
from benchmark.engine.executors.processes import Processes
from benchmark.engine.workplace import Workplace

ENGINES = ("inline", "processes", "ray")


@dataclass(frozen=True)
class Engine:
    """How nodes are run; nothing here alters a row.

    Attributes:
        name: one of :data:`ENGINES`; None for inline with one worker and processes with more.
        workers: nodes computed at once, at most; None with Ray for as many as the cluster has room for.
        devices: CUDA devices of this machine that worker processes share out; empty for the one of the settings.
        address: of a running Ray cluster; None to start one on this machine.
        num_cpus: cores that Ray sets aside for a node, also a fraction.
        num_gpus: GPUs that Ray sets aside for a node, also a fraction.
    """

    name: Literal["inline", "processes", "ray"] | None = None
    workers: int | None = 1
    devices: tuple[str, ...] = ()
    address: str | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0

    @property
    def chosen(self) -> str:
        """The name that is meant."""
        return self.name or ("inline" if self.workers == 1 and not self.devices else "processes")


def open_executor(workplace: Workplace, engine: Engine) -> Executor:
    """Start what the engine needs.

    Raises:
        BenchError: Ray is not installed, or there is no such cluster.
    """
    if engine.chosen == "ray":
        from benchmark.engine.executors.ray_cluster import RayCluster

        return RayCluster(workplace.settings, engine)
    if engine.chosen == "processes":
        return Processes(workplace.settings, engine.workers or 1, engine.devices)
    return Inline(workplace)
