"""Carlini and Wagner's minimum-norm attack in L2 (2017)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.ascent import check_at_least_one, check_positive
from benchmark.attacks.base import all_rows
from benchmark.attacks.minimum_norm import Nearest, need_deterministic
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task import Classification

EDGE = 0.999
"""How near to -1 and 1 the variable starts: at the faces of the box themselves tanh has no slope to leave them by."""

FIRST_BETA, SECOND_BETA, TINY = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma & Ba 2015)."""

LAST_RATE = 0.01
"""Share of the learning rate left at the last step; it falls geometrically over the second half.

With a constant one the iterates swing about the boundary, some by a multiple of the distance to a near one."""

CHECKS = 4
"""After each quarter of the steps an image is left alone whose objective has not fallen by a ten-thousandth."""


@dataclass(frozen=True)
class CwL2:
    """Carlini and Wagner's L2 attack (2017, section V): Adam on |x - x0|^2 + c max(z_y - max_{k != y} z_k + kappa, 0).

    x = (tanh w + 1) / 2 keeps the box, c is found per image by binary search, and every decision (success, early stop,
    c) is taken per image, so that a neighbour changes nothing. The margin is over the wrong classes alone and thus does
    not change when all logits shift. It minimises the norm and is content once that lies within the budget; candidates
    as :class:`benchmark.attacks.minimum_norm.Nearest` makes them.

    Costs up to ``searches`` x (``steps`` + 1) gradients and forward passes per image, and two forward passes.

    Args:
        searches: values of c tried (the authors' 9).
        steps: Adam steps for each.
        learning_rate: of Adam, on w. The authors take 10,000 steps of .01.
        initial_c: first value of c; it grows tenfold until an image falls, and is then bisected.
        kappa: margin asked for (0: the boundary).

    Raises:
        BenchError: a parameter is out of range, or the view is stochastic.
    """

    searches: int = 9
    steps: int = 100
    learning_rate: float = 0.05
    initial_c: float = 0.1
    kappa: float = 0.0
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "l2"

    def __post_init__(self) -> None:
        check_at_least_one("cw-l2", searches=self.searches, steps=self.steps)
        check_positive("cw-l2", learning_rate=self.learning_rate, initial_c=self.initial_c)
        if not self.kappa >= 0:
            raise BenchError(f"cw-l2: kappa is {self.kappa}; give 0 or more.")

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
        need_deterministic("cw-l2", view, "pgd-l2")
        if len(images) == 0:
            return images.clone()
        rows = all_rows(images)
        nearest = Nearest(task, images, labels, self.norm)
        right = ~nearest.offer(images, view.logits(images, rows))
        search = _Search(self, view, task, images, labels, nearest, eps_255)
        low = torch.zeros_like(labels, dtype=images.dtype)
        high = torch.full_like(low, torch.inf)
        c = torch.full_like(low, self.initial_c)
        for _ in range(self.searches):
            place = (right & (nearest.distance > eps_255)).nonzero().squeeze(1)
            if len(place) == 0:
                break
            fell = search.run(c, place)
            low, high = torch.where(fell, low, c), torch.where(fell, c, high)
            c = torch.where(high.isinf(), 10 * c, (low + high) / 2)
        return nearest.within(view, rows, eps_255)[0]


@dataclass(frozen=True)
class _Search:
    """Adam for one c per image."""

    attack: CwL2
    view: GradientView
    task: Classification
    images: Tensor
    labels: Tensor
    nearest: Nearest
    enough_255: float

    def run(self, c: Tensor, place: Tensor) -> Tensor:
        """Minimise the objective of the images ``place`` (m,), c (n,); return (n,) whether a point fooled the view."""
        fell = torch.zeros_like(self.labels, dtype=torch.bool)
        w = ((2 * self.images[place] - 1) * EDGE).atanh()
        first, second = torch.zeros_like(w), torch.zeros_like(w)
        lowest = torch.full_like(c, torch.inf)
        look_every = max(1, self.attack.steps // CHECKS)
        for number in range(1, self.attack.steps + 2):
            points = (w.tanh() + 1) / 2
            objective, gradient, logits = self._objective(points, c, place)
            fell[place] |= self.nearest.offer(points, logits, place)
            if number > self.attack.steps:
                break
            slope = gradient * 2 * points * (1 - points)
            first = FIRST_BETA * first + (1 - FIRST_BETA) * slope
            second = SECOND_BETA * second + (1 - SECOND_BETA) * slope.square()
            mean, spread = first / (1 - FIRST_BETA**number), second / (1 - SECOND_BETA**number)
            rate = self.attack.learning_rate * LAST_RATE ** max(0.0, 2 * number / self.attack.steps - 1)
            w = w - rate * mean / (spread.sqrt() + TINY)
            if number % look_every == 0:
                moving = (objective < 0.9999 * lowest[place]) & (self.nearest.distance[place] > self.enough_255)
                lowest[place] = torch.minimum(objective, lowest[place])
                place, w, first, second = place[moving], w[moving], first[moving], second[moving]
                if len(place) == 0:
                    break
        return fell

    def _objective(self, points: Tensor, c: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values (m,), gradients for the points (m, C, H, W), logits (m, K)."""
        labels, weight = self.labels[place], c[place]

        def gap(logits: Tensor) -> Tensor:
            return weight * (self.attack.kappa - self.task.margin(logits, labels)).clamp_min(0)

        look = self.view.evaluate(points, gap, place.cpu())
        change = points - self.images[place]
        objective = change.square().flatten(1).sum(dim=1) + look.loss
        return objective, 2 * change + look.gradient.nan_to_num(nan=0.0), look.logits
