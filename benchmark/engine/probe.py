"""How fast an entry is on this machine: both kinds of pass, timed for a second at most before a run."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from benchmark.access import adaptive
from benchmark.engine.settings import RunSettings, Unit
from benchmark.engine.workplace import Workplace
from benchmark.interpreter import restored
from benchmark.interrupts import is_the_users
from benchmark.randomness import Randomness

PROBED_IMAGES = 16
PROBE_SECONDS = 0.5
"""How long either kind of pass is timed at most."""

PROBE_STEPS = 20
"""How often it is timed at most."""

MOST_PROBES = 8
"""Entries that are timed; of further ones the mean of these is taken."""

MOST_AT_ONCE = 4
"""Processes in which entries are timed at the same time."""

PATIENCE = 120.0
"""Seconds after which an entry that is timed in a process of its own is given up."""

Pair = tuple[str, str]
"""(submission, data set)."""


@dataclass(frozen=True)
class Pace:
    """Seconds per image of a deployed decision, and of a forward and backward pass of one copy."""

    decision: float
    gradient: float


USUAL = Pace(decision=0.01, gradient=0.03)
"""Pace of an entry that cannot be timed: its run tells what is wrong."""


def paces(workplace: Workplace, units: Mapping[Pair, Unit], workers: int) -> dict[Pair, Pace]:
    """Time entries on their data sets.

    Args:
        workplace: the run.
        units: any unit of each pair.
        workers: processes that will run. Where there are several, entries are timed in as many at once, since they
            slow each other; one that ends its process, or never returns, has the usual pace.
    """
    timed = dict(list(units.items())[:MOST_PROBES])
    if workers > 1:
        at_once = min(workers, MOST_AT_ONCE)
        with ThreadPoolExecutor(at_once) as threads:
            each = list(threads.map(lambda _: _apart(workplace.settings, list(timed.values())), range(at_once)))
        found = {pair: _mean(told) for pair, told in zip(timed, zip(*each, strict=True), strict=True)}
    else:
        found = {pair: _timed(workplace, unit) for pair, unit in timed.items()}
    return {pair: found.get(pair) or _mean(list(found.values())) for pair in units}


def _apart(settings: RunSettings, units: Sequence[Unit]) -> list[Pace]:
    context = multiprocessing.get_context("spawn")
    found: list[Pace] = []
    while len(found) < len(units):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(theirs, settings, units[len(found) :]), daemon=True)
        process.start()
        theirs.close()
        try:
            while len(found) < len(units) and ours.poll(PATIENCE):
                found.append(ours.recv())
        except (EOFError, OSError):
            pass  # the entry at work ended the process
        if len(found) < len(units):
            found.append(USUAL)
        process.kill()
        process.join()
    return found


def _serve(pipe: Connection, settings: RunSettings, units: Sequence[Unit]) -> None:
    workplace = Workplace(settings)
    for unit in units:
        pipe.send(_timed(workplace, unit))


def _mean(paces: Sequence[Pace]) -> Pace:
    return Pace(statistics.mean(p.decision for p in paces), statistics.mean(p.gradient for p in paces))


def _timed(workplace: Workplace, unit: Unit) -> Pace:
    """Time both kinds of pass on a few images of the data set, with one thread as in a run.

    An entry that fails here gets a usual pace: its run tells what is wrong.
    """
    try:
        with restored():
            torch.set_num_threads(1)
            return _pace(workplace, unit)
    except KeyboardInterrupt:
        if is_the_users():
            raise
        return USUAL
    except BaseException:
        return USUAL


def _pace(workplace: Workplace, unit: Unit) -> Pace:
    split = workplace.images_of(unit)
    part = split.subset(range(min(PROBED_IMAGES, len(split))))
    images = part.images.to(workplace.device)
    goal = workplace.task(unit.dataset).goal(part.labels.to(workplace.device))
    draw = Randomness(range(len(images)), workplace.device)
    defense = workplace.target(unit)
    decision = _clocked(lambda: defense.predict(images, draw.restarted()))
    view, rows = adaptive(defense, draw, 1), torch.arange(len(images))
    gradient = _clocked(lambda: view.evaluate(images, goal.margin, rows))
    return Pace(decision / len(images), gradient / len(images))


def _clocked(step: Callable[[], object]) -> float:
    """The shortest time of a step, tried some times."""
    step()
    best, until = float("inf"), time.monotonic() + PROBE_SECONDS
    for _ in range(PROBE_STEPS):
        started = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - started)
        if time.monotonic() > until:
            break
    return best
