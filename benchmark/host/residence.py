"""Where a defense lives: its host, started anew where it has ended, and what the harness holds of its passes."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, filterfalse
from typing import Any

import torch
from torch import Tensor

from benchmark.host.client import Host
from benchmark.host.limits import Limits
from benchmark.host.line import HostFailed
from benchmark.host.sandbox import Isolation
from benchmark.submission.building import BuildPlan

DEATHS = 3
"""Times that a defense may end its process before it is not started again."""


MOST_COPIES = 1_000_000
"""Random copies of a vote that are believed."""

FEWEST_FORKS = 24
"""Forks, at least, that come from one process before another is built; twice as many at most."""

FEWEST_UNFORKED = 500
"""Calls, at least, that a host answers which cannot be forked; twice as many at most."""


class Residence:
    """Keeps a host of one defense, starting it anew where it has ended.

    Args:
        plan: what it builds.
        device: where the defense runs.
        limits: what it may take.
        salt: what seeds are hashed with before the host sees them; with none it sees them as they are.
        twin: whether attacks are answered from the defense's fast twin.

    Raises:
        BenchError: as :class:`~benchmark.host.client.Host`.
        HostFailed: likewise.
    """

    def __init__(
        self,
        plan: BuildPlan,
        device: torch.device,
        limits: Limits | None = None,
        salt: str = "",
        twin: bool = False,
    ) -> None:
        self._plan = plan
        self.salt = salt
        self._twin = twin
        self._limits = limits or Limits()
        self.device = device
        self._failures: list[str] = []
        self._pace: float | None = None
        self._left = self._most_forks = 0
        self._held: dict[int, _Pass] = {}
        self._starts = 0
        self._released: list[int] = []
        self._host = self._started()
        self.facts = Facts(self._host.facts, plan.num_classes)

    def _started(self) -> Host:
        self._starts += 1
        self._released.clear()
        self._left = FEWEST_UNFORKED + secrets.randbelow(FEWEST_UNFORKED)
        self._most_forks = FEWEST_FORKS + secrets.randbelow(FEWEST_FORKS)
        return Host(self._plan, str(self.device), self._limits, twin=self._twin)

    @property
    def isolation(self) -> Isolation:
        """How the defense is shut in."""
        return self._host.isolation

    def call(
        self, message: Mapping[str, Any], images: Tensor, copies: float = 1, graph: bool = False
    ) -> tuple[dict[str, Tensor], list[str], int]:
        """Put a call about images to the host.

        Returns:
            The answer's tensors, the names of those that have a gradient, and the number of the forward pass, if held.

        Raises:
            CallFailed, HostFailed: as :meth:`~benchmark.host.client.Host.ask`; the second at once where the defense has
                ended its process too often, or ever took too long.
        """
        # The smallest that is free, so that it tells nothing of how many there were.
        number = next(filterfalse(self._held.__contains__, count()))
        self._move_on()
        passes = len(images) * copies
        seconds = self._limits.seconds(passes, self._pace)
        started = time.monotonic()
        whole = {**message, "graph": number if graph else None}
        tensors, told = self._ask(whole, {"images": images}, seconds, goes_on=False, counts=True)
        if passes:
            taken = (time.monotonic() - started) / passes
            self._pace = taken if self._pace is None else min(self._pace, taken)
        if graph:
            self._held[number] = _Pass(whole, images.detach(), seconds, self._answerer())
        differentiable = told.get("differentiable")
        return tensors, differentiable if isinstance(differentiable, list) else [], number

    def _move_on(self) -> None:
        """Now and then, at no time known beforehand, build the defense anew, with a fresh import.

        Forks could learn from the process that they come from how many there were, and a process on a GPU has none.
        """
        if not self._host.alive:
            return
        self._left -= 1
        due = self._host.forks > self._most_forks if self.device.type == "cpu" else self._left < 0
        if due:
            self._host.close()
            self._host = self._started()

    def gradient(self, number: int, cotangents: Mapping[str, Tensor], passes: float) -> Tensor:
        """Gradient at the images of a forward pass that is held; raises as :meth:`call`.

        Where the fork that made the pass has ended meanwhile, the one at work makes it once more: who holds on to a
        pass must not keep a fork for ever.
        """
        held = self._held.get(number)
        if held is None:
            raise HostFailed("the defense's process ended between a forward pass and its gradient")
        if held.made_by != self._answerer():
            self._ask(held.message, {"images": held.images}, held.seconds, goes_on=True, counts=False)
            held.made_by = self._answerer()
        seconds = self._limits.seconds(passes, self._pace)
        message = {"op": "backward", "graph": number}
        return self._ask(message, cotangents, seconds, goes_on=True, counts=False)[0]["gradient"]

    def let_go(self, number: int) -> None:
        """The forward pass will not be asked about again."""
        if number in self._held:
            del self._held[number]
            self._released.append(number)

    def _answerer(self) -> tuple[int, int]:
        """Which fork of which host is at work."""
        return self._starts, self._host.turn

    def renew(self) -> None:
        """Let a pristine fork answer the next call."""
        if self._limits.pristine:
            self._host.renew()

    def _ask(
        self, message: Mapping[str, Any], tensors: Mapping[str, Tensor], seconds: float, goes_on: bool, counts: bool
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if not self._host.alive:
            if not self._failures or len(self._failures) >= DEATHS or "took more than" in self._failures[-1]:
                raise HostFailed(self._failures[-1] if self._failures else "the defense's process has ended")
            try:
                self._host = self._started()
            except HostFailed as error:
                self._failures.append(str(error))
                raise
        released, self._released = self._released, []
        try:
            return self._host.ask(message, tensors, seconds=seconds, release=released, goes_on=goes_on, counts=counts)
        except BaseException as error:
            if not self._host.alive:
                self._held.clear()
                self._failures.append(str(error))
            raise

    def rest(self) -> None:
        """Free what memory calls have taken, while others are asked."""
        self._host.rest()

    def close(self) -> None:
        """End the host."""
        self._host.close()


@dataclass
class _Pass:
    """A forward pass whose gradient may be asked for: what was asked, of whom, and how long an answer may take."""

    message: Mapping[str, Any]
    images: Tensor
    seconds: float
    made_by: tuple[int, int]


class Facts:
    """What a host has told of its defense, taken as data."""

    def __init__(self, told: Mapping[str, Any], classes: int) -> None:
        layers = told.get("feature_layers")
        if not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers):
            raise HostFailed("the defense's process told nothing of its feature layers")
        copies = told.get("copies")
        self.num_classes = classes
        self.stochastic = told.get("stochastic") is True
        self.plain = told.get("plain") is True
        self.own = told.get("own") is True
        self.alternative_backward = told.get("alternative_backward") is True
        self.detects = told.get("detects") is True
        self.feature_layers: tuple[str, ...] = tuple(layers)
        self.copies = copies if type(copies) is int and 0 < copies <= MOST_COPIES else 1
