"""Worker processes that may die: each node is handed to one, and a death is reported, not spread."""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from benchmark.engine.executors.base import Hear, News, Orphaned, Task, attempt
from benchmark.engine.executors.inline import reading
from benchmark.engine.graph import Node
from benchmark.engine.settings import RunSettings
from benchmark.engine.workplace import Workplace
from benchmark.interrupts import listening
from benchmark.memory import keep_freed_memory


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    node: Node | None = None


class Processes:
    """Computes nodes in processes of this machine, each with one thread, so that sums are the same everywhere.

    Args:
        settings: how to run.
        workers: processes at most; they start when there is work for them.
        devices: dealt out to the workers in turn; empty where all use the device of the settings.
    """

    def __init__(self, settings: RunSettings, workers: int, devices: Sequence[str] = ()) -> None:
        self.width = workers
        self._settings = settings
        self._devices = devices
        self._context = multiprocessing.get_context("spawn")
        self._crew: list[_Worker | None] = [None] * workers

    def room(self) -> bool:
        """Whether a worker is free, or may be started."""
        return any(worker is None or worker.node is None for worker in self._crew)

    def submit(self, task: Task) -> None:
        """Hand a node to a free worker, a running one if there is any."""
        free = [place for place, worker in enumerate(self._crew) if worker is None or worker.node is None]
        place = min(free, key=lambda place: self._crew[place] is None)
        while True:
            worker = self._crew[place] or self._hire(place)
            self._crew[place] = worker
            try:
                worker.pipe.send(task)
            except OSError:
                # It died while it had nothing to do.
                self._crew[place] = None
                continue
            worker.node = task.node
            return

    def _hire(self, place: int) -> _Worker:
        settings = self._settings
        if self._devices:
            settings = replace(settings, device=self._devices[place % len(self._devices)])
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, settings), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def wait(self, hear: Hear) -> None:
        """Wait for the pipes of all that work."""
        busy = {worker.pipe: place for place, worker in enumerate(self._crew) if worker and worker.node is not None}
        for pipe in wait(list(busy)):
            worker = self._crew[busy[pipe]]  # type: ignore[index]
            assert worker is not None
            news = _news(worker)
            if news.ended:
                worker.node = None
                if news.failure and not worker.process.is_alive():
                    self._crew[busy[pipe]] = None  # type: ignore[index]
            hear(news)

    def forget(self, key: str) -> None:
        """Tables are read from their files; nothing is kept."""

    def close(self) -> None:
        """End all workers."""
        crew = [worker for worker in self._crew if worker is not None]
        for worker in crew:
            worker.process.terminate()
        for worker in crew:
            worker.process.join()


def _news(worker: _Worker) -> News:
    """Read a worker's message; a closed pipe means that it died."""
    assert worker.node is not None
    try:
        news = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        return News(worker.node, failure=f"the worker process died (exit code {worker.process.exitcode})")
    assert isinstance(news, News)
    return news


def serve(pipe: Connection, settings: RunSettings) -> None:
    """Life of a worker process."""
    keep_freed_memory()
    workplace = Workplace(settings)
    hear = _teller(pipe)
    try:
        while True:
            task = pipe.recv()
            with listening():
                hear(attempt(workplace, task.node, reading(task.inputs), hear))
    except (EOFError, OSError, Orphaned, KeyboardInterrupt):
        # The run has ended, or was killed.
        return
    finally:
        workplace.close()


def _teller(pipe: Connection) -> Hear:
    """News to a run that may have been killed: without it the worker ends, and no attack is blamed for the silence."""

    def tell(news: News) -> None:
        try:
            pipe.send(news)
        except OSError:
            raise Orphaned from None

    return tell
