"""The harness's side of a host: start it, ask it with a time limit, end it."""

import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from benchmark.errors import BenchError
from benchmark.host import nursery, sandbox
from benchmark.host.limits import Limits
from benchmark.host.sandbox import Isolation, Sandbox
from benchmark.host.wire import Arena, Garbled, receive, send
from benchmark.submission.building import BuildPlan

SPREAD = 9
"""How many numbers of calls a fork may have to answer."""

WORTH = 0.06
"""Seconds of work for which a fork is made: a small network's goes on for so long, a fork costing it several calls."""

MOST_OF_SMALL = 64
"""Calls after which a small network's fork is replaced all the same, or a few before."""

AHEAD = 8
"""Calls before its end at which a fork's successor is made, while it works."""


LONGEST_TEXT = 4000
"""Characters of what a host tells of an error."""


class HostFailed(RuntimeError):
    """A host has ended, does not answer, or answers nonsense: a gap, and no success of its defense."""


class CallFailed(RuntimeError):
    """The defense raised an exception; the text names it as the defense's author knows it."""


class Host:
    """One host of one entry on one data set.

    Args:
        plan: what it builds.
        device: where the defense runs.
        limits: what it may take.
        trial: whether it makes the contract's checks instead of serving attacks or a judge.

    Attributes:
        facts: what the host tells of the defense that it has built; empty on trial.
        isolation: how it is shut in.
        forks: how many forks have been made of it.

    Raises:
        BenchError: the entry cannot be built.
        HostFailed: the host ends, or hangs, before it has built anything.
    """

    def __init__(self, plan: BuildPlan, device: str = "cpu", limits: Limits | None = None, trial: bool = False) -> None:
        self._limits = limits or Limits()
        self._arena = Arena()
        self._zygote: socket.socket | None = None
        self._fork: socket.socket | None = None
        self._spare: socket.socket | None = None
        self._sandbox: Sandbox | None = None
        self._process = 0
        self._left = 0
        self._at_most = 0
        self._worked = 0.0
        self._on_cpu = device == "cpu"
        self._forks = self._on_cpu and not trial
        self.facts: dict[str, Any] = {}
        self.forks = 0
        self.isolation: Isolation = "process"
        try:
            self._start(plan, device, trial)
        except (Garbled, CallFailed) as error:
            self.close()
            raise HostFailed(f"the defense's process told nonsense while building the defense: {error}") from None
        except BaseException:
            self.close()
            raise

    def _start(self, plan: BuildPlan, device: str, trial: bool) -> None:
        self._sandbox, self._zygote, self._process = nursery.hatch(plan.copy, self._limits)
        self.isolation = "bwrap" if self._sandbox else "process"
        if self._sandbox:
            plan = BuildPlan(**{**asdict(plan), "copy": sandbox.ENTRY})
        line = self._zygote
        send(line, {"plan": asdict(plan), "device": device, "trial": trial}, [self._arena.descriptor])
        if trial:
            return
        told = self._heard(line, self._limits.start, "building the defense")
        if "facts" not in told or not isinstance(told["facts"], dict):
            raise HostFailed("the defense's process told nothing of the defense that it built")
        self.facts = told["facts"]
        self.refuse_kept(plan)

    def refuse_kept(self, plan: BuildPlan) -> None:
        """Refuse what the defense keeps that its forks would share, and by which one could leave word for the next.

        Raises:
            BenchError: it keeps something.
        """
        left = self._sandbox.left_behind(self._process, 0) if self._sandbox else ""
        # A GPU's driver has files of its own, and what uses one is not forked.
        shared = sandbox.shared_by_forks(self._process) if self._on_cpu and not left else ""
        kept = f"leaves {left}" if left else shared
        if kept:
            raise BenchError(f"{plan.code}: the defense {kept}; close it before build returns.")

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._zygote is not None

    def ask(
        self,
        message: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        *,
        seconds: float,
        release: Sequence[int] = (),
        goes_on: bool = False,
        counts: bool = True,
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Put a call to the host.

        Args:
            message: the call and its plain arguments.
            tensors: its tensors.
            seconds: after which the host is given up.
            release: numbers of forward passes that are no longer held.
            goes_on: whether the fork that answered last has to answer this too, since it holds what is asked about.
            counts: whether the call is one of the few that a fork answers.

        Returns:
            The answer's tensors, and its plain part.

        Raises:
            CallFailed: the defense raised an exception.
            HostFailed: the host has ended, hangs or answers nonsense; it is closed.
        """
        if self._zygote is None:
            raise HostFailed("the defense's process has ended")
        try:
            line = self._line(goes_on, counts)
            # Nothing that another host, or an earlier call, has written is left to read.
            send(line, {**message, "tensors": self._arena.put(tensors), "release": list(release)})
            started = time.monotonic()
            told = self._heard(line, seconds, "answering")
            self._worked += time.monotonic() - started
            return self._arena.take(told.get("tensors")), told
        except (CallFailed, BenchError):
            raise
        except (OSError, EOFError) as error:
            self.close()
            raise HostFailed(f"the defense ended its process ({type(error).__name__})") from None
        except (Garbled, MemoryError) as error:
            self.close()
            raise HostFailed(f"the defense's process answered nonsense: {error}") from None
        except BaseException:
            # An answer may still be on its way: nobody must take it for that to another question.
            self.close()
            raise

    def _line(self, goes_on: bool, counts: bool) -> socket.socket:
        """The line to whoever answers next."""
        assert self._zygote is not None
        if not self._forks:
            return self._zygote
        if self._fork is None or (self._had_its_time() and not goes_on):
            if self._fork is not None:
                self._end_forks(keep=int(self._spare is not None))
            self._fork, self._spare = self._spare or self._forked(), None
            self._left = self._limits.calls + secrets.randbelow(SPREAD)
            self._at_most = min(0, self._left - MOST_OF_SMALL + secrets.randbelow(SPREAD))
            self._worked = 0.0
        self._left -= int(counts)
        if self._spare is None and self._left == AHEAD:
            self._spare = self._forked()
        return self._fork

    def _had_its_time(self) -> bool:
        """Whether the fork at work has answered its calls."""
        return self._left <= 0 and (self._worked >= WORTH or self._left <= self._at_most)

    def _end_forks(self, keep: int) -> None:
        """End all forks but the last so many, and what they may have left to those that follow.

        Raises:
            HostFailed: one has left processes running.
        """
        assert self._zygote is not None
        if self._fork is not None:
            self._fork.close()
            self._fork = None
        send(self._zygote, {"keep": keep})
        self._heard(self._zygote, self._limits.call, "ending a process of its own")
        self._arena.empty()
        if self._sandbox is not None:
            left = self._sandbox.left_behind(self._process, keep)
            if left:
                self.close()
                raise HostFailed(f"the defense left {left}")

    def _forked(self) -> socket.socket:
        """The line to a new fork, which may still be on its way."""
        assert self._zygote is not None
        self.forks += 1
        ours, theirs = socket.socketpair()
        with theirs:
            send(self._zygote, {}, [theirs.fileno()])
        return ours

    def renew(self) -> None:
        """Let a pristine fork answer the next call."""
        self._left = self._at_most = 0

    def rest(self) -> None:
        """End the fork at work, and what memory it holds; the next call begins another."""
        if self._fork is not None and self._zygote is not None:
            if self._spare is not None:
                self._spare.close()
                self._spare = None
            try:
                self._end_forks(keep=0)
            except (OSError, EOFError, HostFailed):
                self.close()

    def __del__(self) -> None:
        self.close()

    def _heard(self, line: socket.socket, seconds: float, what: str) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            CallFailed, BenchError, HostFailed: as told, or when time is up.
        """
        try:
            told, _ = receive(line, seconds=seconds)
        except TimeoutError:
            self.close()
            raise HostFailed(f"the defense took more than {seconds:.0f} s for {what} and was stopped") from None
        except EOFError:
            self.close()
            raise HostFailed(f"the defense ended its process while {what}") from None
        error = told.get("error")
        if error is None:
            return told
        if not isinstance(error, dict):
            raise Garbled("an error that is no table")
        if error.get("kind") == "entry":
            raise BenchError(_clipped(error.get("message")))
        said = f"{_clipped(error.get('type'))}: {_clipped(error.get('message'))}"
        if error.get("kind") == "host":
            self.close()
            raise HostFailed(f"no process for the defense: {said}")
        raise CallFailed(said + _clipped(error.get("place", "")))

    def close(self) -> None:
        """End the host and everything that it has started."""
        for line in (self._fork, self._spare, self._zygote):
            if line is not None:
                line.close()
        self._fork = self._spare = self._zygote = None
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None
        elif self._process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process, signal.SIGKILL)
        self._process = 0
        if self._arena is not None:
            self._arena.close()
            self._arena = None  # type: ignore[assignment]


def _clipped(told: object) -> str:
    """What a host tells, no longer than anybody would read: it goes into every row of a gap."""
    return str(told)[:LONGEST_TEXT]


def reason_of(error: BaseException) -> str:
    """Why something could not run, as a gap's row tells it."""
    return str(error) if isinstance(error, CallFailed | HostFailed) else f"{type(error).__name__}: {error}"
