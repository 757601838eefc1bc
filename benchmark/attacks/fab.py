"""FAB-T (Croce & Hein 2020b) in L-inf and L2: the nearest wrong decision by projections onto linearised boundaries."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.base import all_rows, choose
from benchmark.attacks.hyperplane import step_onto
from benchmark.attacks.minimum_norm import Nearest, need_deterministic
from benchmark.attacks.norms import distance
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal, Rival

ALPHA_MAX = 0.1
"""Largest weight of the step from the clean image (section 2.3)."""

OVERSHOOT = 1.05
"""Factor by which a step passes the boundary (eta)."""

BACKWARD = 0.9
"""Share of the perturbation kept after a success (beta)."""


@dataclass(frozen=True)
class FabT:
    """Targeted Fast Adaptive Boundary attack in L-inf (Croce & Hein 2020b, Algorithm 1), without random restarts.

    It minimises the norm, whatever the budget. What it finds within the budget is also stretched to the full radius
    and the more confident of the two is returned, since a point on the boundary itself would hang on float rounding.
    What it finds beyond is projected onto the ball (its steps overshoot by a twentieth) and returned if it still fools;
    an image for which nothing does is returned unchanged.

    Each target costs 2 ``iterations`` forward passes and ``iterations`` gradients per image, and one more forward pass
    for the fitted point; further targets are tried only on images not yet misclassified. One look orders the targets.

    Args:
        iterations: steps per target.
        n_targets: most likely wrong classes tried; None means K - 1, at most 9.

    Raises:
        BenchError: a parameter is out of range, or the view is stochastic: a boundary that moves has no nearest point.
    """

    iterations: int = 100
    n_targets: int | None = None
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("fab-t", iterations=self.iterations)
        if self.n_targets is not None:
            check_at_least_one("fab-t", n_targets=self.n_targets)

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says; ``draw`` is not used."""
        del draw
        suffix = "-l2" if self.norm == "l2" else ""
        need_deterministic(f"fab-t{suffix}", view, f"apgd{suffix}")
        candidates = images.clone()
        if len(images) == 0:
            return candidates
        rows = all_rows(images)
        clean = view.logits(images, rows)
        for rival in goal.rivals(clean, self.n_targets):
            if len(rows) == 0:
                break
            place = rows.to(images.device)
            search = _Search(view, goal.take(place), images[place], rival.take(place), rows, self.norm)
            found, fooled = search.nearest(self.iterations).within(view, rows, eps_255)
            candidates[place] = choose(fooled, found, candidates[place])
            rows = rows[~fooled.cpu()]
        return candidates


@dataclass(frozen=True)
class FabTL2(FabT):
    """FAB-T in L2 (Croce & Hein 2020b), as :class:`FabT`, with budgets in the L2 unit."""

    norm: ClassVar[str] = "l2"


@dataclass(frozen=True)
class _Search:
    """One rival for each of n images."""

    view: GradientView
    goal: Goal
    images: Tensor
    rival: Rival
    rows: Tensor
    norm: str

    def nearest(self, iterations: int) -> Nearest:
        """Return the nearest fooling points found."""
        nearest = Nearest(self.goal, self.images, self.norm)
        iterate = self.images
        for _ in range(iterations):
            iterate = self._step(iterate)
            fooled = nearest.offer(iterate, self.view.logits(iterate, self.rows))
            iterate = choose(fooled, self.images + BACKWARD * (iterate - self.images), iterate)
        return nearest

    def _step(self, iterate: Tensor) -> Tensor:
        """Move to a convex mix of the iterate's and the clean image's projections onto the linearised boundary."""
        look = self.view.evaluate(iterate, self.rival.gain, self.rows)
        gradient = look.gradient.nan_to_num(nan=0.0)
        from_iterate = -look.loss
        from_clean = from_iterate + (gradient * (iterate - self.images)).flatten(1).sum(dim=1)
        step = step_onto(iterate, gradient, from_iterate, self.norm)
        direct = step_onto(self.images, gradient, from_clean, self.norm)
        own, clean = self._size(step), self._size(direct)
        alpha = (own / (own + clean)).clamp(max=ALPHA_MAX)[:, None, None, None]
        mixed = (1 - alpha) * (iterate + OVERSHOOT * step) + alpha * (self.images + OVERSHOOT * direct)
        return mixed.clamp(0, 1)

    def _size(self, step: Tensor) -> Tensor:
        return distance(step, torch.zeros_like(step), self.norm).clamp_min(1e-6)
