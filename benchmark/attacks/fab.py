"""FAB-T (Croce & Hein 2020b): the nearest wrong decision by projections onto linearised boundaries."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.apgd import target_count
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.base import all_rows, choose, project_linf
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task import Classification

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
    for the fitted point; further targets are tried only on images still standing. One look orders the targets.

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
        task: Classification,
        images: Tensor,
        labels: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says; ``draw`` is not used."""
        del draw
        if view.stochastic:
            raise BenchError("fab-t needs a deterministic target; attack a stochastic one with apgd, which averages.")
        candidates = images.clone()
        if len(images) == 0:
            return candidates
        rows, eps = all_rows(images), eps_255 / 255
        clean = view.logits(images, rows)
        for rank in range(target_count(task, self.n_targets)):
            if len(rows) == 0:
                break
            place = rows.to(images.device)
            targets = task.targets(clean, labels, rank)[place]
            search = _Search(view, task, images[place], labels[place], targets, rows)
            found, fooled = search.within(eps, self.iterations)
            candidates[place] = choose(fooled, found, candidates[place])
            rows = rows[~fooled.cpu()]
        return candidates


@dataclass(frozen=True)
class _Search:
    """One target class for each of n images."""

    view: GradientView
    task: Classification
    images: Tensor
    labels: Tensor
    targets: Tensor
    rows: Tensor

    def within(self, eps: float, iterations: int) -> tuple[Tensor, Tensor]:
        """Return images (n, C, H, W) inside the ball of radius ``eps`` and whether they fool the view (n,)."""
        nearest, norm, margin = self._nearest(iterations)
        reached = norm <= eps
        stretch = torch.where(reached, eps / norm.clamp_min(1e-12), torch.ones_like(norm))
        perturbation = stretch[:, None, None, None] * (nearest - self.images)
        fitted = project_linf(self.images + perturbation, self.images, eps)
        logits = self.view.logits(fitted, self.rows)
        fools, fitted_margin = self.task.fooled(logits, self.labels), self.task.margin(logits, self.labels)
        better = fools & (~reached | (fitted_margin >= margin))
        return choose(better, fitted, project_linf(nearest, self.images, eps)), reached | fools

    def _nearest(self, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the nearest fooling points found, their L-inf norms (infinite where none was) and their margins."""
        iterate = nearest = self.images
        norm = torch.full_like(self.labels, torch.inf, dtype=self.images.dtype)
        nearest_margin = torch.full_like(norm, -torch.inf)
        for _ in range(iterations):
            iterate = self._step(iterate)
            logits = self.view.logits(iterate, self.rows)
            fooled, margin = self.task.fooled(logits, self.labels), self.task.margin(logits, self.labels)
            distance = _linf(iterate - self.images)
            closer = fooled & (distance < norm)
            nearest = choose(closer, iterate, nearest)
            norm, nearest_margin = torch.where(closer, distance, norm), torch.where(closer, margin, nearest_margin)
            iterate = choose(fooled, self.images + BACKWARD * (iterate - self.images), iterate)
        return nearest, norm, nearest_margin

    def _step(self, iterate: Tensor) -> Tensor:
        """Move to a convex mix of the iterate's and the clean image's projections onto the linearised boundary."""
        look = self.view.evaluate(iterate, self._gain, self.rows)
        gradient = look.gradient.nan_to_num(nan=0.0)
        from_iterate = -look.loss
        from_clean = from_iterate + (gradient * (iterate - self.images)).flatten(1).sum(dim=1)
        step = project_on_hyperplane(iterate, gradient, from_iterate)
        direct = project_on_hyperplane(self.images, gradient, from_clean)
        own, clean = _linf(step).clamp_min(1e-8), _linf(direct).clamp_min(1e-8)
        alpha = (own / (own + clean)).clamp(max=ALPHA_MAX)[:, None, None, None]
        mixed = (1 - alpha) * (iterate + OVERSHOOT * step) + alpha * (self.images + OVERSHOOT * direct)
        return mixed.clamp(0, 1)

    def _gain(self, logits: Tensor) -> Tensor:
        chosen = logits.gather(1, torch.stack([self.targets, self.labels], dim=1))
        return chosen[:, 0] - chosen[:, 1]


def _linf(perturbation: Tensor) -> Tensor:
    return perturbation.abs().amax(dim=(1, 2, 3))


def project_on_hyperplane(points: Tensor, normal: Tensor, rise: Tensor) -> Tensor:
    """Smallest L-inf step d with <normal, d> = ``rise`` and ``points`` + d in [0, 1].

    Every component moves by the same amount, or less where the box stops it. Where the box allows no such step, each
    goes as far as the box lets it.

    Args:
        points: (n, C, H, W) in [0, 1].
        normal: (n, C, H, W).
        rise: (n,), of either sign.

    Returns:
        (n, C, H, W) steps.
    """
    flat, weights = points.flatten(1), normal.flatten(1).abs()
    signs = normal.flatten(1).sign() * rise.sign()[:, None]
    room = torch.where(signs > 0, 1 - flat, flat)
    ordered, order = room.sort(dim=1)
    ordered_weights = weights.gather(1, order)
    products = ordered_weights * ordered
    stopped = products.cumsum(dim=1) - products
    moving = ordered_weights.flip(1).cumsum(dim=1).flip(1)
    reachable = stopped + moving * ordered
    index = torch.searchsorted(reachable, rise.abs()[:, None]).clamp(max=flat.shape[1] - 1)
    before, slope = stopped.gather(1, index), moving.gather(1, index)
    length = (rise.abs()[:, None] - before) / slope.clamp_min(1e-30)
    return (signs * torch.minimum(length.clamp_min(0), room)).reshape(points.shape)
