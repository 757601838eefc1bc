"""One process that answers, as the harness reaches it: a socket, and memory that the two share."""

import select
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from benchmark.errors import BenchError
from benchmark.host.wire import Arena, Garbled, receive, send

LONGEST_TEXT = 4000
"""Characters of what a host tells of an error."""

LONGEST_ANSWER = 1 << 20
"""Bytes of a host's message, whose tensors lie elsewhere."""


class HostFailed(RuntimeError):
    """A host has ended, does not answer, or answers nonsense: a gap, and no success of its defense."""


class CallFailed(RuntimeError):
    """The defense raised an exception; the text names it as the defense's author knows it."""


def reason_of(error: BaseException) -> str:
    """Why something could not run, as a gap's row tells it."""
    return str(error) if isinstance(error, CallFailed | HostFailed) else f"{type(error).__name__}: {error}"


class Line:
    """Puts calls to a process and hears its answers.

    Args:
        end: the harness's end of a socket.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._arena = Arena()
        self._forgotten: list[int] = []

    @property
    def memory(self) -> int:
        """Descriptor of the shared memory."""
        return self._arena.descriptor

    def put(
        self, message: Mapping[str, Any], tensors: Mapping[str, Tensor], seconds: float, release: Sequence[int] = ()
    ) -> None:
        """Put a call.

        Args:
            message: its plain part.
            tensors: its tensors.
            seconds: that the process may take to read it.
            release: numbers of forward passes that are no longer held.

        Raises:
            HostFailed: it has ended, or does not read.
        """
        whole = {**message, "tensors": self._arena.put(tensors), "release": [*release, *self._forgotten]}
        self._forgotten.clear()
        try:
            send(self._end, whole, seconds=seconds)
        except TimeoutError:
            raise HostFailed(f"the defense took more than {seconds:.0f} s to hear a call and was stopped") from None
        except OSError as error:
            raise HostFailed(f"the defense ended its process ({type(error).__name__})") from None

    def forget(self, number: int) -> None:
        """Have the next call say that a forward pass is no longer held."""
        self._forgotten.append(number)

    def has_answered(self) -> bool:
        """Whether there is something to hear."""
        return bool(select.select([self._end], [], [], 0)[0])

    def take(self, told: Mapping[str, Any]) -> dict[str, Tensor]:
        """The tensors of an answer.

        Raises:
            HostFailed: they are none.
        """
        try:
            return self._arena.take(told.get("tensors"))
        except (Garbled, MemoryError) as error:
            raise HostFailed(f"the defense's process answered nonsense: {error}") from None

    def hear(self, seconds: float, what: str) -> dict[str, Any]:
        """Wait for a message.

        Args:
            seconds: after which the process is given up.
            what: it is meant to be doing.

        Raises:
            CallFailed, BenchError: as told.
            HostFailed: it has ended, hangs, or answers nonsense.
        """
        return hear(self._end, seconds, what)

    def close(self) -> None:
        """Hang up."""
        if self._end.fileno() >= 0:
            self._end.close()
            self._arena.close()


def hear(end: socket.socket, seconds: float, what: str) -> dict[str, Any]:
    """Wait for a message; arguments and errors as :meth:`Line.hear`."""
    try:
        told, _ = receive(end, seconds=seconds, longest=LONGEST_ANSWER)
        error = told.get("error")
        if error is None:
            return told
        if not isinstance(error, dict):
            raise Garbled("an error that is no table")
    except TimeoutError:
        raise HostFailed(f"the defense took more than {seconds:.0f} s for {what} and was stopped") from None
    except (EOFError, OSError):
        raise HostFailed(f"the defense ended its process while {what}") from None
    except (Garbled, MemoryError) as nonsense:
        raise HostFailed(f"the defense's process told nonsense while {what}: {nonsense}") from None
    if error.get("kind") == "entry":
        raise BenchError(_clipped(error.get("message")))
    said = f"{_clipped(error.get('type'))}: {_clipped(error.get('message'))}"
    if error.get("kind") == "host":
        raise HostFailed(f"no process for the defense: {said}")
    raise CallFailed(said + _clipped(error.get("place", "")))


def _clipped(told: object) -> str:
    """What a host tells, no longer than anybody would read and in plain characters: it goes into every row of a gap."""
    text = str(told)[:LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text)
