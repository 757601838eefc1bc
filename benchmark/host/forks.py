"""Forks of a process that has built a defense: each answers some calls, and a pristine one takes over."""

import secrets
import socket
from collections.abc import Callable, Mapping

from torch import Tensor

from benchmark.errors import BenchError
from benchmark.host.audit import HISTORY_DEPENDENT, Audit, Call
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
        turn: how many have been at work.
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
        self._renewed = False
        self.made = self.turn = 0

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
            self.turn += 1
            self._renewed = False
            self._left = self._limits.calls + secrets.randbelow(SPREAD)
            self._at_most = min(0, self._left - MOST_OF_SMALL + secrets.randbelow(SPREAD))
            self._worked, self._audit = 0.0, Audit()
        elif self._spare is None and not goes_on and self._nears_its_end(AHEAD):
            self._spare = self._forked()
            if self._audit.chosen is not None:
                self._put_again = self._audit.chosen
                self._put(self._spare, self._put_again)
        elif self._spare is not None and self._put_again is not None and self._spare.has_answered():
            self._put_again = self._compared(self._spare, self._put_again)
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
        try:
            while again is not None:
                again = self._compared(successor, again)
            self._end(keep=int(not self._renewed))
        except BaseException:
            successor.close()
            raise
        if self._renewed:
            # It has been asked, and what it was asked then must not serve it now.
            successor.close()
            return self._forked()
        return successor

    @staticmethod
    def _put(line: Line, call: Call) -> None:
        line.put(call.message, call.given, call.seconds)

    def _compared(self, line: Line, call: Call) -> Call | None:
        """Hear the answer to a call that has been put again, and put its backward pass, if there is one left.

        Raises:
            HostFailed: it is not what was answered before.
        """
        try:
            same = call.answered_alike(line.take(line.hear(call.seconds, "answering")))
        except (CallFailed, BenchError):
            same = False
        if not same:
            raise HostFailed(HISTORY_DEPENDENT)
        if call.back is not None:
            self._put(line, call.back)
        elif call.message["graph"] is not None:
            line.forget(call.message["graph"])
        return call.back

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
        try:
            with theirs:
                self._tell({}, theirs.fileno(), line.memory)
        except BaseException:
            line.close()
            raise
        return line

    def _tell(self, message: Mapping[str, object], *descriptors: int) -> None:
        try:
            send(self._zygote, message, descriptors, self._limits.call)
        except OSError as error:
            raise HostFailed(f"the defense ended its process ({type(error).__name__})") from None

    def renew(self) -> None:
        """Let a pristine fork answer the next call; its answer is compared by who has it renewed."""
        self._left = self._at_most = 0
        self._renewed = True

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
