"""DeepFool (Moosavi-Dezfooli et al. 2016): step after step onto the nearest linearised boundary, in L2."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.ascent import check_at_least_one, check_positive
from benchmark.attacks.base import all_rows, choose, no_value
from benchmark.attacks.hyperplane import step_onto
from benchmark.attacks.minimum_norm import Nearest, need_deterministic
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal, Rival


@dataclass(frozen=True)
class DeepFool:
    """DeepFool in L2 (Moosavi-Dezfooli et al. 2016, Algorithm 2) for a whole batch and any number of classes.

    Each step goes to the nearest of the boundaries between the true class and its rivals, as they look from the
    iterate. The paper knows no box, so two walks are made and the nearer end counts: one takes the shortest step that
    the box leaves open (exact for a linear network), the other steps freely and clips the lengthened sum of its steps,
    from where it looks again (as the field's code does; on digits it ends nearer for one image in thirty). It minimises
    the norm, whatever the budget; candidates as :class:`benchmark.attacks.minimum_norm.Nearest` makes them.

    One look orders the rivals. A step costs a gradient and a forward pass per rival and a forward pass to see whether
    the boundary is crossed, where the walk ends; fitting to the budget costs a forward pass.

    Args:
        steps: largest number of steps (the authors' 50).
        overshoot: share by which the whole perturbation is lengthened to cross the boundary (the paper's eta = 0.02).
        n_targets: most likely wrong classes taken as rivals; None means K - 1, at most 9 (as the authors' code).

    Raises:
        BenchError: a parameter is out of range, or the view is stochastic.
    """

    steps: int = 50
    overshoot: float = 0.02
    n_targets: int | None = None
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "l2"

    def __post_init__(self) -> None:
        check_at_least_one("deepfool", steps=self.steps)
        check_positive("deepfool", overshoot=self.overshoot)
        if self.n_targets is not None:
            check_at_least_one("deepfool", n_targets=self.n_targets)

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
        need_deterministic("deepfool", view, "pgd-l2")
        if len(images) == 0:
            return images.clone()
        clean = view.logits(images, all_rows(images))
        rivals = goal.rivals(clean, self.n_targets)
        nearest = Nearest(goal, images, self.norm)
        nearest.offer(images, clean)
        right = ~goal.lost(clean)
        for boxed in (True, False):
            self._walk(view, images, rivals, nearest, right.clone(), boxed)
        return nearest.within(view, all_rows(images), eps_255)[0]

    def _walk(
        self,
        view: GradientView,
        images: Tensor,
        rivals: Sequence[Rival],
        nearest: Nearest,
        going: Tensor,
        boxed: bool,
    ) -> None:
        """Walk with the images ``going`` (n,) and offer every point seen; arguments as above."""
        path, seen = images.clone(), images.clone()
        for _ in range(self.steps):
            place = going.nonzero().squeeze(1)
            if len(place) == 0:
                break
            start = path[place] if boxed else seen[place]
            step = self._step(view, start, [rival.take(place) for rival in rivals], place.cpu(), boxed)
            path[place] = (path[place] + step).clamp(0, 1) if boxed else path[place] + step
            seen[place] = (images[place] + (1 + self.overshoot) * (path[place] - images[place])).clamp(0, 1)
            going[place] = ~nearest.offer(seen[place], view.logits(seen[place], place.cpu()), place)

    def _step(self, view: GradientView, points: Tensor, rivals: Sequence[Rival], rows: Tensor, boxed: bool) -> Tensor:
        """The step (n, C, H, W) to the nearest linearised boundary of any rival."""
        best = torch.zeros_like(points)
        length = -no_value(points)
        for rival in rivals:
            look = view.evaluate(points, rival.gain, rows)
            # A hair beyond the boundary: on it the next step would have no direction left.
            rise = (-look.loss).clamp_min(1e-6)
            gradient = look.gradient.nan_to_num(nan=0.0)
            step = step_onto(points, gradient, rise, "l2") if boxed else _straight(gradient, rise)
            reaches = (gradient * step).flatten(1).sum(dim=1) >= 0.999 * rise
            own: Tensor = torch.linalg.vector_norm(step.flatten(1), dim=1)
            own = torch.where(reaches, own, 1e6 + rise / own.clamp_min(1e-12))
            nearer = own < length
            best, length = choose(nearer, step, best), torch.where(nearer, own, length)
        return best


def _straight(gradient: Tensor, rise: Tensor) -> Tensor:
    """The shortest step (n, C, H, W) along ``gradient`` that raises the linearised gain by ``rise`` (n,)."""
    share = rise / gradient.square().flatten(1).sum(dim=1).clamp_min(1e-12)
    return share[:, None, None, None] * gradient
