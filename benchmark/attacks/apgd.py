"""Auto-PGD (Croce & Hein 2020): ascent whose step size looks after itself."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.base import all_rows, choose, no_value, none_yet
from benchmark.attacks.norms import project, step
from benchmark.errors import BenchError, did_you_mean
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal, Objective, Rival

LOSSES = ("cross_entropy", "dlr", "targeted")
MOMENTUM = 0.75
"""Weight of the new step against the last one (Algorithm 1: alpha)."""

FINAL_LOOKS = 4
"""Fresh looks by which a stochastic view decides between the iterates kept."""

_ObjectiveAt = Callable[[Tensor], Objective]
"""Gives, for some places of the batch, what is ascended for those images."""


@dataclass(frozen=True)
class Apgd:
    """Auto-PGD in L-inf (Croce & Hein 2020, Algorithm 1) with the losses of AutoAttack.

    All decisions (step size, checkpoints, restarts from the best point) are taken per image. Every run goes on to its
    last iteration and keeps, per image, the iterate of the highest margin max_{k != y} z_k - z_y: it is a misclassified
    one if any was, and the farthest behind the boundary, so that it survives rounding and transfers to a defended
    system best. For a stochastic view a single look misleads, and the highest of many looks most of all: the latest
    iterate seen fooled and the one of highest margin are looked at four times more and the better one is returned.

    One run costs ``iterations`` + 1 gradients and forward passes per image, times EOT samples (plus 8 looks without
    gradient for a stochastic view). Further restarts and targets are spent only on images not yet misclassified;
    "targeted" asks one more look at the clean image, to order the targets.

    Args:
        iterations: steps of one run.
        loss: "cross_entropy", "dlr", or "targeted" (targeted DLR, one run per target class).
        restarts: random starts (per target).
        n_targets: most likely wrong classes tried by "targeted"; None means K - 1, at most 9.
        rho: share of successful steps below which the step size is halved.

    Raises:
        BenchError: a parameter is out of range.
    """

    iterations: int = 100
    loss: str = "cross_entropy"
    restarts: int = 1
    n_targets: int | None = None
    rho: float = 0.75
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("apgd", iterations=self.iterations, restarts=self.restarts)
        if self.n_targets is not None:
            check_at_least_one("apgd", n_targets=self.n_targets)
        if self.loss not in LOSSES:
            raise BenchError(f"apgd: unknown loss '{self.loss}'.{did_you_mean(self.loss, LOSSES)}")

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        candidates = images.clone()
        best = no_value(images)
        rows = all_rows(images)
        for purpose, objective_at in self._runs(view, goal, images):
            if len(rows) == 0:
                break
            place = rows.to(images.device)
            own, objective = goal.take(place), objective_at(place)
            run = _Run(view, own, objective, self.norm, eps_255, self.iterations, self.rho)
            found, margin, fooled = run(images[place], rows, draw.take(rows).fork(*purpose))
            candidates[place] = choose(fooled | (margin > best[place]), found, candidates[place])
            best[place] = torch.maximum(margin, best[place])
            rows = rows[~fooled.cpu()]
        return candidates

    def _runs(
        self, view: GradientView, goal: Goal, images: Tensor
    ) -> Iterator[tuple[tuple[object, ...], _ObjectiveAt]]:
        """Yield each run's name for the random streams, and what it ascends."""
        if len(images) == 0:
            return
        if self.loss != "targeted":
            for restart in range(self.restarts):
                yield (self.loss, restart), lambda place: goal.take(place).objective(self.loss)
            return
        clean = view.logits(images, all_rows(images))
        for rank, rival in enumerate(goal.rivals(clean, self.n_targets)):
            for restart in range(self.restarts):
                yield (self.loss, rank, restart), partial(_ratio, rival)


@dataclass(frozen=True)
class ApgdL2(Apgd):
    """Auto-PGD in L2 (Croce & Hein 2020), as :class:`Apgd`: normalised steps, budgets in the L2 unit."""

    norm: ClassVar[str] = "l2"


def _ratio(rival: Rival, place: Tensor) -> Objective:
    return rival.take(place).ratio


def checkpoints(iterations: int) -> list[int]:
    """Iterations at which the step size is reconsidered (section 3.3: shares .22, then less by .03, at least .06)."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    # Rounding first: 0.41 * 100 is a hair above 41 in floating point and would become 42.
    return sorted({math.ceil(round(share * iterations, 6)) for share in shares[1:] if share <= 1})


@dataclass(frozen=True)
class _Run:
    """One start of Algorithm 1."""

    view: GradientView
    goal: Goal
    objective: Objective
    norm: str
    eps_255: float
    iterations: int
    rho: float

    def __call__(self, images: Tensor, rows: Tensor, draw: Randomness) -> tuple[Tensor, Tensor, Tensor]:
        """Return the kept iterates (n, C, H, W), their margins (n,) and whether they fool the view (n,)."""
        keeper = _Keeper(self.view, self.goal, rows)
        iterate = self._start(images, draw)
        look = self.view.evaluate(iterate, self.objective, rows)
        keeper.offer(iterate, look.logits)
        gradient, last = look.gradient, look.loss
        best, best_gradient, best_loss = iterate, gradient, look.loss
        length_255 = torch.full_like(look.loss, 2 * self.eps_255)
        rises = torch.zeros_like(look.loss)
        loss_at_check, halved_at_check = best_loss, ~none_yet(images)
        before = iterate
        checks, previous_check = checkpoints(self.iterations), 0
        for k in range(1, self.iterations + 1):
            moved = self._move(images, iterate, before, gradient, length_255, first=k == 1)
            before, iterate = iterate, moved
            look = self.view.evaluate(iterate, self.objective, rows)
            keeper.offer(iterate, look.logits)
            gradient = look.gradient
            rises = rises + (look.loss > last)
            last = look.loss
            better = look.loss > best_loss
            best, best_gradient = choose(better, iterate, best), choose(better, gradient, best_gradient)
            best_loss = torch.where(better, look.loss, best_loss)
            if k in checks:
                few_rises = rises < self.rho * (k - previous_check)
                stalled = ~halved_at_check & (best_loss <= loss_at_check)
                halve = few_rises | stalled
                length_255 = torch.where(halve, length_255 / 2, length_255)
                iterate, gradient = choose(halve, best, iterate), choose(halve, best_gradient, gradient)
                rises, loss_at_check, halved_at_check = torch.zeros_like(rises), best_loss, halve
                previous_check = k
        return keeper.result()

    def _start(self, images: Tensor, draw: Randomness) -> Tensor:
        """Random noise scaled to reach the sphere, as in AutoAttack: uniform in L-inf, normal in L2."""
        if self.norm == "l2":
            return self._project(images + step(draw.normal(images.shape[1:]), "l2", self.eps_255), images)
        noise = draw.uniform(images.shape[1:], -1, 1)
        largest = noise.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
        return self._project(images + self.eps_255 / 255 * noise / largest, images)

    def _move(
        self, images: Tensor, iterate: Tensor, before: Tensor, gradient: Tensor, length_255: Tensor, *, first: bool
    ) -> Tensor:
        ahead = self._project(iterate + step(gradient, self.norm, length_255), images)
        if first:
            return ahead
        mixed = iterate + MOMENTUM * (ahead - iterate) + (1 - MOMENTUM) * (iterate - before)
        return self._project(mixed, images)

    def _project(self, candidates: Tensor, images: Tensor) -> Tensor:
        return project(candidates, images, self.norm, self.eps_255)


class _Keeper:
    """Keeps per image what a run will return."""

    def __init__(self, view: GradientView, goal: Goal, rows: Tensor) -> None:
        self._view, self._goal, self._rows = view, goal, rows
        self._margin: Tensor | None = None

    def offer(self, iterate: Tensor, logits: Tensor) -> None:
        """Consider an iterate with the logits that the view showed for it."""
        margin, fooled = self._goal.margin(logits), self._goal.lost(logits)
        if self._margin is None:
            self._margin, self._fooled = margin, fooled
            self._highest = self._latest = iterate
            return
        higher = margin > self._margin
        self._highest = choose(higher, iterate, self._highest)
        self._margin = torch.where(higher, margin, self._margin)
        self._fooled = self._fooled | fooled
        if self._view.stochastic:
            self._latest = choose(fooled, iterate, self._latest)

    def result(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the kept iterates, their margins and whether they fool the view."""
        assert self._margin is not None
        if not self._view.stochastic:
            return self._highest, self._margin, self._fooled
        highest, latest = self._looked_at_again(self._highest), self._looked_at_again(self._latest)
        margin = torch.maximum(highest, latest)
        return choose(latest > highest, self._latest, self._highest), margin, margin > 0

    def _looked_at_again(self, iterate: Tensor) -> Tensor:
        margins = [self._goal.margin(self._view.logits(iterate, self._rows)) for _ in range(FINAL_LOOKS)]
        return torch.stack(margins).mean(dim=0)
