"""Forks of a process that has built a defense: each answers some calls, and a pristine one takes over."""

import secrets
import socket
from collections.abc import Callable, Mapping

from torch import Tensor

from benchmark.errors import BenchError
from benchmark.host.audit import FORGETFUL, Audit, Call
from benchmark.host.limits import Limits
from benchmark.host.line import CallFailed, HostFailed, Line, hear
from benchmark.host.wire import send

SPREAD = 33
"""How many numbers of calls a fork may have to answer."""

WORTH = 0.4
"""Seconds of work for which a fork is made: a small network's goes on for so long, a fork costing it several calls."""

MOST_OF_SMALL = 200
"""Calls after which a small network's fork is replaced all the same, or a few before."""

AHEAD = 8
"""Calls before its end at which a fork's successor is made, while it works."""


class Forks:
    """Knows who answers next.

    While a fork works, its successor is made and is put one of the calls that the fork has answered: that warms it up,
    and shows whether the defense answers alike whatever it was asked before.

    Args:
        zygote: the line to the process that forks.
        limits: what each may take.
        left_behind: told how many forks are meant to be there, says what else is.

    Attributes:
        made: how many have been made.
    """

    def __init__(self, zygote: socket.socket, limits: Limits, left_behind: Callable[[int], str]) -> None:
        self._zygote = zygote
        self._limits = limits
        self._left_behind = left_behind
        self._at_work: Line | None = None
        self._spare: Line | None = None
        self._put_again: Call | None = None
        self._audit = Audit()
        self._left = self._at_most = 0
        self._worked = 0.0
        self.made = 0

    def line(self, goes_on: bool, counts: bool) -> Line:
        """The line to whoever answers next.

        Args:
            goes_on: whether that has to be the fork that answered last, since it holds what is asked about.
            counts: whether the call is one of those that are counted.

        Raises:
            HostFailed: a fork has ended, has left something behind, or answers by what was asked before.
        """
        if self._at_work is None or (self._nears_its_end(0) and not goes_on):
            self._at_work = self._succeed()
            self._left = self._limits.calls + secrets.randbelow(SPREAD)
            self._at_most = min(0, self._left - MOST_OF_SMALL + secrets.randbelow(SPREAD))
            self._worked, self._audit = 0.0, Audit()
        elif self._spare is None and not goes_on and self._nears_its_end(AHEAD):
            self._spare = self._forked()
            self._put_again = self._audit.chosen
            if self._put_again is not None:
                again = self._put_again
                self._spare.put(again.again(), again.given, again.seconds)
        self._left -= int(counts)
        return self._at_work

    def _nears_its_end(self, calls: int) -> bool:
        """Whether the fork at work ends within so many calls."""
        return self._left <= calls and (self._worked >= WORTH or self._left <= self._at_most + calls)

    def answered(
        self,
        message: Mapping[str, object],
        given: Mapping[str, Tensor],
        answer: Mapping[str, Tensor],
        seconds: float,
        worked: float,
    ) -> None:
        """Take note of a call that the fork at work has answered.

        Args:
            message: its plain part.
            given: its tensors.
            answer: those of the answer.
            seconds: that it was allowed to take.
            worked: seconds that it took.
        """
        self._worked += worked
        if self._spare is None:
            self._audit.note(message, given, answer, seconds)

    def _succeed(self) -> Line:
        """End the fork at work and return the line to the next."""
        again, self._put_again = self._put_again, None
        successor, self._spare = self._spare, None
        if successor is None:
            self._end(keep=0)
            return self._forked()
        if again is not None and not _alike(successor, again):
            successor.close()
            raise HostFailed(FORGETFUL)
        self._end(keep=1)
        return successor

    def _end(self, keep: int) -> None:
        """End all forks but the last so many.

        Raises:
            HostFailed: one has left something to those that follow.
        """
        if self._at_work is None:
            return
        self._at_work.close()
        self._at_work = None
        self._tell({"keep": keep})
        try:
            hear(self._zygote, self._limits.call, "ending a process of its own")
        except (CallFailed, BenchError) as error:
            raise HostFailed(f"the defense's process told nonsense: {error}") from None
        left = self._left_behind(keep)
        if left:
            raise HostFailed(f"the defense left {left}")

    def _forked(self) -> Line:
        """The line to a new fork, which may still be on its way."""
        self.made += 1
        ours, theirs = socket.socketpair()
        line = Line(ours)
        with theirs:
            self._tell({}, theirs.fileno(), line.memory)
        return line

    def _tell(self, message: Mapping[str, object], *descriptors: int) -> None:
        try:
            send(self._zygote, message, descriptors, self._limits.call)
        except OSError as error:
            raise HostFailed(f"the defense ended its process ({type(error).__name__})") from None

    def renew(self) -> None:
        """Let a pristine fork answer the next call; its answer is compared by who has it renewed."""
        self._left = self._at_most = 0

    def rest(self) -> None:
        """End all forks, and what memory they hold; the next call begins another."""
        if self._spare is not None:
            self._spare.close()
        self._spare = self._put_again = None
        self._end(keep=0)

    def close(self) -> None:
        """Hang up."""
        for line in (self._at_work, self._spare):
            if line is not None:
                line.close()
        self._at_work = self._spare = None


def _alike(line: Line, call: Call) -> bool:
    """Whether a fork answers a call, which it has been put, as its predecessor did."""
    try:
        return call.answered_alike(line.take(line.hear(call.seconds, "answering")))
    except (CallFailed, BenchError):
        return False
