"""A host's own side: build the defense, then let pristine forks of this process answer.

The process that has built the defense answers nothing itself. Each fork of it answers a few calls and is replaced, so
that nothing which a call leaves behind, wherever in the process it lies, is met by the next fork's calls.
"""

import contextlib
import gc
import os
import signal
import socket
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

import torch

from benchmark.defense.rollback import Rollback
from benchmark.defense.twin import twin_of
from benchmark.errors import BenchError
from benchmark.host.calls import Answer, Served
from benchmark.host.limits import die_with_parent, show_memory
from benchmark.host.trial import Trial
from benchmark.host.wire import Arena, Garbled, receive, send
from benchmark.interrupts import listening
from benchmark.submission.building import BuildPlan, build


def zygote(line: socket.socket) -> NoReturn:
    """Build the defense that the first message names, then fork whenever asked, until the harness hangs up."""
    try:
        message, (memory,) = receive(line, descriptors=1)
        arena = Arena(memory)
        plan, device = BuildPlan(**message["plan"]), torch.device(message["device"])
        if message["trial"]:
            _answer(line, arena, Trial(plan))
        else:
            try:
                # No interrupt of the user's comes here: one that the entry raises is its own.
                with listening():
                    defense = build(plan)[0].to(device)
            except BenchError as error:
                send(line, {"error": {"kind": "entry", "type": "BenchError", "message": str(error)}})
                os._exit(0)
            # Nobody asks for the gradient at a parameter, and torch would keep what it takes.
            defense.requires_grad_(False)
            twin = twin_of(defense, plan.shape, device) if message["twin"] else None
            served = _Restoring(Served(defense, device, twin or defense, plan.shape))
            send(line, {"facts": served.facts()})
            if device.type == "cpu":
                # Each fork has its own: no word passes from one to the next.
                arena.close()
                _fork_when_asked(line, served)
            else:
                # A process that has used a GPU cannot be forked.
                _answer(line, arena, served)
    except (EOFError, OSError, Garbled):
        pass
    os._exit(0)


def _fork_when_asked(line: socket.socket, served: "_Restoring") -> None:
    gc.collect()
    # A collection in a fork would write to every page that it shares with this process.
    gc.freeze()
    forks: list[int] = []
    while True:
        message, held = receive(line, descriptors=2)
        if not held:
            kept = int(message["keep"])
            ended, forks = forks[: len(forks) - kept], forks[len(forks) - kept :]
            for fork in ended:
                _kill(fork)
            send(line, {"ended": True})
            # What their memory takes to be given back, nobody has to wait for.
            for fork in ended:
                _collect(fork)
            continue
        # Forks must not read or write this process's memory.
        show_memory(False)
        forks.append(os.fork())
        if forks[-1] == 0:
            line.close()
            die_with_parent()
            try:
                _answer(socket.socket(fileno=held[0]), Arena(held[1]), served)
            finally:
                os._exit(0)
        for descriptor in held:
            os.close(descriptor)


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _collect(process: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, 0)


def _answer(line: socket.socket, arena: Arena, asked: "_Restoring | Trial") -> None:
    """Answer calls until the harness hangs up; what the defense raises is told, and is no end."""
    while True:
        try:
            message, _ = receive(line)
        except (EOFError, OSError):
            return
        try:
            asked.release(message["release"])
            answer = asked.answer(message, arena.take(message["tensors"]))
            told = {
                "tensors": arena.put(
                    {name: value for name, value in answer.items() if isinstance(value, torch.Tensor)}
                ),
                "differentiable": [name for name, value in answer.items() if _requires_grad(value)],
                "plain": {name: value for name, value in answer.items() if not isinstance(value, torch.Tensor)},
            }
        except BaseException as error:
            told = {"error": _as_message(error)}
        send(line, told)
        # While the harness goes on, so that its attack need not wait for it.
        asked.rest(message)


def _requires_grad(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


def _as_message(error: BaseException) -> dict[str, str]:
    """What is told of an exception; a BenchError is the benchmark's own sentence, about the entry."""
    if isinstance(error, BenchError):
        return {"kind": "entry", "type": "BenchError", "message": str(error)}
    where = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(where[-1].filename)}:{where[-1].lineno})" if where else ""  # noqa: PTH119
    try:
        text = str(error)
    except Exception:
        text = "an error without words"
    return {"kind": "call", "type": type(error).__name__, "message": text[:2000], "place": place}


class _Restoring:
    """Restores what a call left behind in the defense's own objects; the rest of a process is restored by forking.

    Without it a defense could answer a fork's second question from what it remembers of the first.
    """

    def __init__(self, served: Served) -> None:
        self._served = served
        self._guard = Rollback(served.defense)
        self._changed = False
        self.facts = served.facts
        self.release = served.release

    def answer(self, message: Mapping[str, Any], given: Mapping[str, torch.Tensor]) -> Answer:
        """As :meth:`Served.answer`."""
        if message["op"] != "backward":
            self.restore()
        self._changed = True
        return self._served.answer(message, given)

    def rest(self, message: Mapping[str, Any]) -> None:
        """Restore after a call has been answered, unless its backward pass is likely to follow at once."""
        if message.get("graph") is None or message["op"] == "backward":
            self.restore()

    def restore(self) -> None:
        """Restore what calls have left behind, if there was any since."""
        if self._changed:
            self._guard.restore()
            self._changed = False
