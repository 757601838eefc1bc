"""The contract's checks of a defense, made where it lives: some look at what a call leaves behind in its process."""

import time
from collections.abc import Mapping
from typing import Any, get_args

from torch import Tensor

from benchmark.host.client import Host
from benchmark.host.limits import Limits
from benchmark.host.line import HostFailed
from benchmark.interpreter import restored
from benchmark.submission.building import BuildPlan
from benchmark.submission.checks.finding import Finding, Status, ok
from benchmark.submission.checks.probe import Declared, Probe, Sample
from benchmark.submission.checks.steps import STEPS

CHECK_SECONDS = 300.0
"""Most time for one check."""

PATIENCE = 300
"""How many times longer than the first, which decides on a few images, a check may take."""


class Bench:
    """The harness's side of a trial: a host of its own for the checks of one defense, ended when the block is left.

    Args:
        limits: what the defense may take.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._host: Host | None = None
        self._first: float | None = None

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        if self._host is not None:
            self._host.close()

    @property
    def alive(self) -> bool:
        """Whether there is a defense that can be checked."""
        return self._host is not None and self._host.alive

    def build(self, plan: BuildPlan, declared: Declared, sample: Sample) -> Finding:
        """Build the defense.

        Raises:
            BenchError: it cannot be built.
            HostFailed: it ends its process, or hangs.
        """
        self._host = Host(plan, limits=self._limits, trial=True)
        message = {
            "op": "build",
            "stochastic": declared.stochastic,
            "gradient": declared.gradient,
            "source": sample.source,
            "why_unlabelled": sample.why_unlabelled,
        }
        tensors = {"images": sample.images}
        if sample.labelled is not None:
            tensors |= {"labelled": sample.labelled[0], "labels": sample.labelled[1]}
        found = self._asked(message, tensors, self._limits.start)
        self._host.refuse_kept(plan)
        return found

    def check(self, name: str) -> Finding:
        """Make one of :data:`~benchmark.submission.checks.steps.STEPS`.

        Raises:
            CallFailed: the defense raised an exception.
            HostFailed: it ended its process, or hangs.
        """
        seconds = min(CHECK_SECONDS, self._limits.most)
        if self._first is not None:
            seconds = min(seconds, max(self._limits.call, PATIENCE * self._first))
        started = time.monotonic()
        found = self._asked({"op": "check", "check": name}, {}, seconds)
        self._first = time.monotonic() - started if self._first is None else self._first
        return found

    def _asked(self, message: Mapping[str, Any], tensors: Mapping[str, Tensor], seconds: float) -> Finding:
        assert self._host is not None
        told = self._host.ask(message, tensors, seconds=seconds)[1].get("plain")
        if not isinstance(told, dict) or told.get("status") not in get_args(Status):
            raise HostFailed("the defense's process answered nonsense")
        return Finding(told["status"], str(told.get("message")))


class Trial:
    """A defense on trial.

    Args:
        plan: how it is built; the first call builds it.
    """

    def __init__(self, plan: BuildPlan) -> None:
        self._plan = plan
        self._probe: Probe | None = None

    def release(self, numbers: list[int]) -> None:
        """Nothing is held."""

    def rest(self, message: Mapping[str, Any]) -> None:
        """Each check has restored what it changed."""

    def answer(self, message: Mapping[str, Any], given: Mapping[str, Tensor]) -> dict[str, str]:
        """Build, or make one check.

        Raises:
            BenchError: the defense cannot be built.
            Exception: whatever the defense raises.
        """
        with restored():
            found = self._build(message, given) if message["op"] == "build" else self._check(message["check"])
        return {"status": found.status, "message": found.message}

    def _build(self, message: Mapping[str, Any], given: Mapping[str, Tensor]) -> Finding:
        labelled = (given["labelled"], given["labels"]) if "labels" in given else None
        sample = Sample(given["images"], message["source"], labelled, message["why_unlabelled"])
        self._probe = Probe(self._plan, Declared(message["stochastic"], message["gradient"]), sample)
        return ok()

    def _check(self, name: str) -> Finding:
        assert self._probe is not None
        step = next(step for step in STEPS if step.name == name)
        return step.check(self._probe)
