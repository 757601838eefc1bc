"""DeepFool (Moosavi-Dezfooli et al. 2016): step after step onto the nearest linearised boundary, in L2."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.apgd import target_count
from benchmark.attacks.ascent import check_at_least_one, check_positive
from benchmark.attacks.base import all_rows, choose
from benchmark.attacks.hyperplane import step_onto
from benchmark.attacks.minimum_norm import Nearest, need_deterministic
from benchmark.randomness import Randomness
from benchmark.task import Classification


@dataclass(frozen=True)
class DeepFool:
    """DeepFool in L2 (Moosavi-Dezfooli et al. 2016, Algorithm 2) for a whole batch and any number of classes.

    Each step goes to the nearest of the boundaries between the true class and its rivals, as they look from the
    iterate, by the shortest way that the box leaves open (the paper knows no box and would be stopped by it). It
    minimises the norm, whatever the budget; candidates as :class:`benchmark.attacks.minimum_norm.Nearest` makes them.

    One look orders the rivals. A step costs a gradient and a forward pass per rival and a forward pass to see whether
    the boundary is crossed, where the image is left alone; fitting to the budget costs a forward pass.

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
        task: Classification,
        images: Tensor,
        labels: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says; ``draw`` is not used."""
        del draw
        need_deterministic("deepfool", view, "pgd-l2")
        if len(images) == 0:
            return images.clone()
        clean = view.logits(images, all_rows(images))
        rivals = [task.targets(clean, labels, rank) for rank in range(target_count(task, self.n_targets))]
        nearest = Nearest(task, images, labels, self.norm)
        nearest.offer(images, clean)
        going = ~task.fooled(clean, labels)
        path = images.clone()
        for _ in range(self.steps):
            place = going.nonzero().squeeze(1)
            if len(place) == 0:
                break
            path[place] = self._step(view, path[place], labels[place], [rival[place] for rival in rivals], place.cpu())
            beyond = (images[place] + (1 + self.overshoot) * (path[place] - images[place])).clamp(0, 1)
            going[place] = ~nearest.offer(beyond, view.logits(beyond, place.cpu()), place)
        return nearest.within(view, all_rows(images), eps_255)[0]

    def _step(self, view: GradientView, points: Tensor, labels: Tensor, rivals: list[Tensor], rows: Tensor) -> Tensor:
        """Go to the nearest linearised boundary of any rival."""
        best = torch.zeros_like(points)
        length = torch.full_like(labels, torch.inf, dtype=points.dtype)
        for rival in rivals:
            pair = torch.stack([rival, labels], dim=1)

            def gain(logits: Tensor, pair: Tensor = pair) -> Tensor:
                chosen = logits.gather(1, pair)
                return chosen[:, 0] - chosen[:, 1]

            look = view.evaluate(points, gain, rows)
            # A hair beyond the boundary: on it the next step would have no direction left.
            rise = (-look.loss).clamp_min(1e-6)
            gradient = look.gradient.nan_to_num(nan=0.0)
            step = step_onto(points, gradient, rise, "l2")
            reaches = (gradient * step).flatten(1).sum(dim=1) >= 0.999 * rise
            own: Tensor = torch.linalg.vector_norm(step.flatten(1), dim=1)
            own = torch.where(reaches, own, 1e6 + rise / own.clamp_min(1e-12))
            nearer = own < length
            best, length = choose(nearer, step, best), torch.where(nearer, own, length)
        return (points + best).clamp(0, 1)
