"""What attacks that minimise a norm share: the nearest wrong points so far, and a fixed budget made of them."""

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.base import choose, no_value
from benchmark.attacks.norms import distance, project
from benchmark.errors import BenchError
from benchmark.task.goal import Goal


class Nearest:
    """Keeps, per image, the nearest point that fooled the view; distances in the norm's ``eps_255`` unit.

    Args:
        goal: of the images; says what "fooled" means.
        images: (n, C, H, W) clean images.
        norm: in which to measure.
    """

    def __init__(self, goal: Goal, images: Tensor, norm: str) -> None:
        self._goal, self._images, self._norm = goal, images, norm
        self.points = images.clone()
        self.distance = -no_value(images)
        self.margin = torch.full_like(self.distance, -torch.inf)

    def offer(self, points: Tensor, logits: Tensor, places: Tensor | None = None) -> Tensor:
        """Consider points (m, C, H, W) of the images ``places`` (m,), all by default; return (m,) whether they fool."""
        at = torch.arange(len(self._goal), device=points.device) if places is None else places
        goal = self._goal.take(at)
        fooled, far = goal.lost(logits), distance(points, self._images[at], self._norm)
        closer = fooled & (far < self.distance[at])
        self.points[at] = choose(closer, points, self.points[at])
        self.distance[at] = torch.where(closer, far, self.distance[at])
        self.margin[at] = torch.where(closer, goal.margin(logits), self.margin[at])
        return fooled

    def within(self, view: GradientView, rows: Tensor, eps_255: float) -> tuple[Tensor, Tensor]:
        """Turn the points into candidates of a fixed budget, at one forward pass per image.

        A point inside the budget is also stretched to the full radius, and the more confident of the two returned: one
        on the boundary itself would hang on float rounding. A point beyond is projected and kept if it still fools,
        for most attacks overshoot a little.

        Returns:
            images (n, C, H, W) inside ball and box, and whether they fool the view (n,).
        """
        reached = self.distance <= eps_255
        stretch = torch.where(reached, eps_255 / self.distance.clamp_min(1e-9), torch.ones_like(self.distance))
        perturbation = stretch[:, None, None, None] * (self.points - self._images)
        fitted = project(self._images + perturbation, self._images, self._norm, eps_255)
        logits = view.logits(fitted, rows)
        fools, margin = self._goal.lost(logits), self._goal.margin(logits)
        better = fools & (~reached | (margin >= self.margin))
        kept = project(self.points, self._images, self._norm, eps_255)
        fooled = reached | fools
        return choose(fooled, choose(better, fitted, kept), self._images), fooled


def need_deterministic(attack: str, view: GradientView, instead: str) -> None:
    """Raise BenchError for a stochastic view: a boundary that moves has no nearest point."""
    if view.stochastic:
        raise BenchError(
            f"{attack} needs a deterministic target; attack a stochastic one with {instead}, which averages."
        )
