"""Worker processes that may die: each unit is handed to one, and a death is reported, not spread."""

import multiprocessing
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from benchmark.engine.run_unit import run_unit
from benchmark.engine.settings import RunSettings, Unit
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError
from benchmark.host.client import CallFailed, HostFailed
from benchmark.interrupts import is_the_users, listening
from benchmark.memory import keep_freed_memory


@dataclass(frozen=True)
class Event:
    """News of a unit: a share done, the end (share 1), or a failure with its reason."""

    unit: Unit
    share: float
    failure: str = ""
    finished: bool = False


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    unit: Unit | None = None


Tell = Callable[[Event], None]
Needs = Callable[[Unit], frozenset[Unit]]


def _next(waiting: list[Unit], in_hand: set[Unit], needs: Needs) -> Unit | None:
    """Take the first unit off the list that draws on none to come; None if there is none now."""
    to_come = in_hand | set(waiting)
    for place, unit in enumerate(waiting):
        if not needs(unit) & to_come:
            return waiting.pop(place)
    return None


def work(settings: RunSettings, units: Iterable[Unit], workers: int, tell: Tell, needs: Needs) -> None:
    """Run units and tell what happens, as it happens, in no particular order.

    One worker runs in this process; more run in processes of their own, each with one thread, so that sums are the
    same everywhere.

    Args:
        settings: how to run.
        units: the units, each after those that it draws on.
        workers: processes.
        tell: told each event.
        needs: the units that a unit draws on. It is held back while one of them is to come: whoever began it at once
            would compute that one too. One that failed holds nothing back.
    """
    if workers == 1:
        keep_freed_memory()
        workplace = Workplace(settings)
        try:
            for unit in units:
                tell(_attempt(workplace, unit, tell))
        finally:
            workplace.close()
        return
    context = multiprocessing.get_context("spawn")
    waiting = list(units)
    crew: list[_Worker] = []

    def hire() -> _Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, settings), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    try:
        crew = [hire() for _ in range(min(workers, len(waiting)))]
        while True:
            for place, worker in enumerate(crew):
                if worker.unit is not None:
                    continue
                in_hand = {other.unit for other in crew if other.unit is not None}
                chosen = _next(waiting, in_hand, needs)
                if chosen is None:
                    break
                try:
                    worker.pipe.send(chosen)
                    worker.unit = chosen
                except OSError:
                    waiting.insert(0, chosen)
                    crew[place] = hire()
            busy = {worker.pipe: worker for worker in crew if worker.unit is not None}
            if not busy and not waiting:
                return
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                event = _news(worker)
                tell(event)
                if event.finished or event.failure:
                    worker.unit = None
                if not worker.process.is_alive() and event.failure:
                    crew[crew.index(worker)] = hire()
    finally:
        for worker in crew:
            worker.process.terminate()
        for worker in crew:
            worker.process.join()


def _news(worker: _Worker) -> Event:
    """Read a worker's message; a closed pipe means that it died."""
    assert worker.unit is not None
    try:
        event = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        return Event(worker.unit, 0.0, f"the worker process died (exit code {worker.process.exitcode})")
    assert isinstance(event, Event)
    return event


def _serve(pipe: Connection, settings: RunSettings) -> None:
    """Life of a worker process."""
    keep_freed_memory()
    workplace = Workplace(settings)
    hear = _teller(pipe)
    while True:
        try:
            unit = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        try:
            with listening():
                hear(_attempt(workplace, unit, hear))
        except (Orphaned, KeyboardInterrupt):
            return


class Orphaned(BaseException):
    """Nobody listens to this worker any more; no Exception, so that the attack at work takes it for no failure."""


def _teller(pipe: Connection) -> Tell:
    """News to a run that may have been killed: without it the worker ends, and no attack is blamed for the silence."""

    def tell(event: Event) -> None:
        try:
            pipe.send(event)
        except OSError:
            raise Orphaned from None

    return tell


def _attempt(workplace: Workplace, unit: Unit, tell: Tell) -> Event:
    try:
        run_unit(workplace, unit, lambda share: tell(Event(unit, share)))
    except (BenchError, CallFailed, HostFailed) as error:
        return Event(unit, 0.0, str(error))
    except Orphaned:
        raise
    except KeyboardInterrupt as error:
        if is_the_users():
            raise
        return _failed(unit, error)
    except BaseException as error:
        # An entry that calls sys.exit, or raises what only the interpreter raises, must not end the run of all others.
        return _failed(unit, error)
    return Event(unit, 1.0, finished=True)


def _failed(unit: Unit, error: BaseException) -> Event:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return Event(unit, 0.0, f"{type(error).__name__}: {error} ({where.filename.split('/')[-1]}:{where.lineno})")
