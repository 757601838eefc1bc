"""The harness's side of a host: start it, ask it with a time limit, end it."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from benchmark.errors import BenchError
from benchmark.host import nursery, sandbox
from benchmark.host.forks import Forks
from benchmark.host.limits import Limits
from benchmark.host.line import CallFailed, HostFailed, Line
from benchmark.host.sandbox import Isolation, Sandbox
from benchmark.host.wire import send
from benchmark.submission.building import BuildPlan


class Host:
    """One host of one entry on one data set.

    Args:
        plan: what it builds.
        device: where the defense runs.
        limits: what it may take.
        trial: whether it makes the contract's checks instead of serving attacks or a judge.
        twin: whether attacks are answered from the defense's fast twin, if it has one.

    Attributes:
        facts: what the host tells of the defense that it has built; empty on trial.
        isolation: how it is shut in.

    Raises:
        BenchError: the entry cannot be built.
        HostFailed: the host ends, or hangs, before it has built anything.
    """

    def __init__(
        self,
        plan: BuildPlan,
        device: str = "cpu",
        limits: Limits | None = None,
        trial: bool = False,
        twin: bool = False,
    ) -> None:
        self._limits = limits or Limits()
        self._sandbox: Sandbox | None = None
        self._process = 0
        self._line: Line | None = None
        self._forks: Forks | None = None
        self._on_cpu = device == "cpu"
        self.facts: dict[str, Any] = {}
        self.isolation: Isolation = "process"
        try:
            self._start(plan, {"device": device, "trial": trial, "twin": twin})
        except CallFailed as error:
            self.close()
            raise HostFailed(f"the defense's process told nonsense while building the defense: {error}") from None
        except BaseException:
            self.close()
            raise

    def _start(self, plan: BuildPlan, wishes: Mapping[str, Any]) -> None:
        self._sandbox, zygote, self._process = nursery.hatch(plan.copy, self._limits)
        self._line = Line(zygote)
        self.isolation = "bwrap" if self._sandbox else "process"
        if self._sandbox:
            plan = BuildPlan(**{**asdict(plan), "copy": sandbox.ENTRY})
        send(zygote, {"plan": asdict(plan), **wishes}, [self._line.memory], self._limits.start)
        if wishes["trial"]:
            return
        told = self._line.hear(self._limits.start, "building the defense")
        if "facts" not in told or not isinstance(told["facts"], dict):
            raise HostFailed("the defense's process told nothing of the defense that it built")
        self.facts = told["facts"]
        self.refuse_kept(plan)
        if self._on_cpu:
            self._forks = Forks(zygote, self._limits, self._left_behind)

    def refuse_kept(self, plan: BuildPlan) -> None:
        """Refuse what the defense keeps that its forks would share, and by which one could leave word for the next.

        Raises:
            BenchError: it keeps something.
        """
        left = self._left_behind(0)
        # A GPU's driver has files of its own, and what uses one is not forked.
        shared = sandbox.shared_by_forks(self._process) if self._on_cpu and not left else ""
        kept = f"leaves {left}" if left else shared
        if kept:
            raise BenchError(f"{plan.code}: the defense {kept}; close it before build returns.")

    def _left_behind(self, forks: int) -> str:
        return self._sandbox.left_behind(self._process, forks) if self._sandbox else ""

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._line is not None

    @property
    def forks(self) -> int:
        """How many forks have been made of it."""
        return self._forks.made if self._forks else 0

    @property
    def turn(self) -> int:
        """How many forks have been at work; a held forward pass is known to one of them."""
        return self._forks.turn if self._forks else 0

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
            CallFailed, BenchError: the defense raised an exception.
            HostFailed: the host has ended, hangs or answers nonsense; it is closed.
        """
        if self._line is None:
            raise HostFailed("the defense's process has ended")
        try:
            line = self._forks.line(goes_on, counts) if self._forks else self._line
            started = time.monotonic()
            line.put(message, tensors, seconds, release)
            told = line.hear(seconds, "answering")
            answer = line.take(told)
            if self._forks:
                self._forks.answered(message, tensors, answer, seconds, time.monotonic() - started)
            return answer, told
        except (CallFailed, BenchError):
            raise
        except BaseException:
            # An answer may still be on its way: nobody must take it for that to another question.
            self.close()
            raise

    def renew(self) -> None:
        """Let a pristine fork answer the next call."""
        if self._forks:
            self._forks.renew()

    def rest(self) -> None:
        """End the fork at work, and what memory it holds; the next call begins another."""
        if self._forks:
            try:
                self._forks.rest()
            except (OSError, HostFailed):
                self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the host and everything that it has started."""
        if self._forks is not None:
            self._forks.close()
            self._forks = None
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None
        elif self._process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process, signal.SIGKILL)
        self._process = 0
