"""Projected gradient ascent with a fixed step: the loop that PGD, its momentum variants and SMA share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.access.views import Evaluation
from benchmark.attacks.base import all_rows, choose, no_value, none_yet
from benchmark.attacks.norms import project, random_start, step
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal, Objective

Aim = Callable[[Goal], Objective]
"""Makes what is ascended from the goal of the images in hand."""


class Guide(Protocol):
    """Looks at the view for the n images of one start and says where to go; it may remember earlier steps."""

    def __call__(self, iterate: Tensor) -> tuple[Evaluation, Tensor]:
        """Return what the view showed, its ``gradient`` being the direction to take, and (n,) bool: of this iterate.

        Where the second is false the look was at a transformed copy, which says nothing about the iterate itself.
        """
        ...


MakeGuide = Callable[[Goal, Tensor, Randomness], Guide]
"""Makes the guide of one start from the goal of n images, their rows (n,) and random streams."""


def check_at_least_one(attack: str, **counts: int) -> None:
    """Raise BenchError unless every count is at least 1."""
    for name, value in counts.items():
        if value < 1:
            raise BenchError(f"{attack}: {name} is {value}; give at least 1.")


def check_positive(attack: str, **values: float | None) -> None:
    """Raise BenchError unless every value given is above 0."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise BenchError(f"{attack}: {name} is {value}; give a number above 0.")


def plain(view: GradientView, aim: Aim) -> MakeGuide:
    """The guide of PGD: the gradient at the iterate."""

    def make(goal: Goal, rows: Tensor, draw: Randomness) -> Guide:
        objective = aim(goal)
        return lambda iterate: (view.evaluate(iterate, objective, rows), ~none_yet(iterate))

    return make


@dataclass(frozen=True)
class Ascent:
    """Ascent in the ball of a norm; kept is, per image, the latest iterate seen fooled, else the one of highest loss.

    Args:
        view: as :class:`benchmark.attacks.base.GradientAttack` has it.
        aim: what the last look is measured by.
        guide: makes the guide of each start.
        norm: "linf" or "l2".
        eps_255: radius, in the norm's unit.
        alpha_255: step size, in the norm's unit.
        steps: number of steps.
        random_start: whether the first iterate is drawn from the ball, rather than the image itself.
    """

    view: GradientView
    aim: Aim
    guide: MakeGuide
    norm: str
    eps_255: float
    alpha_255: float
    steps: int
    random_start: bool = True

    def restarted(self, images: Tensor, goal: Goal, draw: Randomness, restarts: int = 1) -> Tensor:
        """Return candidates (N, C, H, W); a further start is spent only on images not yet misclassified."""
        candidates = images.clone()
        best = no_value(images)
        rows = all_rows(images)
        for restart in range(restarts):
            if len(rows) == 0:
                break
            place = rows.to(images.device)
            streams = draw.take(rows).fork("restart", restart)
            found, value, fooled = self._single(images[place], goal.take(place), rows, streams)
            gain = fooled | (value >= best[place])
            candidates[place] = choose(gain, found, candidates[place])
            best[place] = torch.maximum(value, best[place])
            rows = rows[~fooled.cpu()]
        return candidates

    def _single(self, images: Tensor, goal: Goal, rows: Tensor, draw: Randomness) -> tuple[Tensor, Tensor, Tensor]:
        """One start; returns the kept iterates, their losses and whether they fool the view."""
        guide, objective = self.guide(goal, rows, draw), self.aim(goal)
        iterate = random_start(images, self.norm, self.eps_255, draw) if self.random_start else images
        kept = iterate
        value, fooled = no_value(images), none_yet(images)
        for number in range(self.steps + 1):
            if number < self.steps:
                look, seen = guide(iterate)
                current, logits = look.loss, look.logits
            else:
                logits = self.view.logits(iterate, rows)
                current, seen = objective(logits), torch.ones_like(fooled)
            now = seen & goal.lost(logits)
            take = now | (seen & ~fooled & (current > value))
            kept, value, fooled = choose(take, iterate, kept), torch.where(take, current, value), fooled | now
            if number < self.steps:
                ahead = iterate + step(look.gradient, self.norm, self.alpha_255)
                iterate = project(ahead, images, self.norm, self.eps_255)
        return kept, value, fooled
