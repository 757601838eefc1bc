"""Carlini and Wagner's minimum-norm attack in L2 (2017)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.ascent import check_at_least_one, check_positive
from benchmark.attacks.base import all_rows, none_yet
from benchmark.attacks.minimum_norm import Nearest, need_deterministic
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.classification import ClassGoal, of_classes
from benchmark.task.goal import Goal

EDGE = 0.99
"""How near to -1 and 1 the variable starts: at the faces of the box themselves tanh has no slope to leave them by, and
nearer to them Adam spends its steps on the way to where it has one."""

FAR = 0.1
"""Root-mean-square distance of the nearest point so far, in [0, 1], below which Adam's rate shrinks in proportion.

It moves every component by about its rate, however near the boundary, and would overshoot a near one."""

FIRST_BETA, SECOND_BETA, TINY = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma & Ba 2015)."""

LAST_RATE = 0.01
"""Share of the learning rate left at the last step; it falls geometrically over the second half.

With a constant one the iterates swing about the boundary, some by a multiple of the distance to a near one."""

CHECKS = 4
"""After each quarter of the steps an image is left alone whose objective has not fallen by a ten-thousandth."""


FLAT = 1e-12
"""A gradient shorter than this tells nothing: the margin of its class is taken as it is."""

BISECTIONS = 8
"""Points tried between the image and the nearest point found: Adam stops some way beyond the boundary."""


@dataclass(frozen=True)
class CwL2:
    """Carlini and Wagner's L2 attack (2017, section V): Adam on |x - x0|^2 + c f(x),
    f(x) = min_{k != y} max(z_y - z_k + kappa, 0) / g_k.

    x = (tanh w + 1) / 2 keeps the box, c is found per image by binary search, and every decision (success, early stop,
    c) is taken per image, so that a neighbour changes nothing. It minimises the norm and is content once that lies
    within the budget; candidates as :class:`benchmark.attacks.minimum_norm.Nearest` makes them.

    Departures from the paper:

    - It has a target, or takes the smallest margin over the classes. Ours divides each class's by g_k, the norm of its
      gradient at the image, and thus follows the class whose boundary looks nearest instead of the one that leads. A
      shift or another scale of the logits changes nothing.
    - c is counted in multiples of twice the distance to that boundary, as it looks from the image: were the network
      linear, an image would be misclassified from 1 on. The paper begins with .01 whatever the scale.
    - The nearest point found is at last drawn back towards the image by bisection.

    Costs up to ``searches`` x (``steps`` + 1) gradients and forward passes per image, as many more as there are rivals
    (K - 1, at most 9), and ten forward passes.

    Args:
        searches: values of c tried (the authors' 9).
        steps: Adam steps for each.
        learning_rate: of Adam, on w. The authors take 10,000 steps of .01.
        initial_c: first value of c, in the multiples above; it grows tenfold until an image is misclassified, and
            is then bisected.
        kappa: margin asked for (0: the boundary).

    Raises:
        BenchError: a parameter is out of range, or the view is stochastic.
    """

    searches: int = 9
    steps: int = 100
    learning_rate: float = 0.1
    initial_c: float = 1.5
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
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says; ``draw`` is not used."""
        del draw
        need_deterministic("cw-l2", view, "pgd-l2")
        classes = of_classes("cw-l2", goal)
        if len(images) == 0:
            return images.clone()
        rows = all_rows(images)
        nearest = Nearest(goal, images, self.norm)
        clean = view.logits(images, rows)
        right = ~nearest.offer(images, clean)
        slopes = _slopes(view, classes, images, clean, right.nonzero().squeeze(1))
        search = _Search(self, view, images, classes, nearest, eps_255, slopes)
        low = images.new_zeros(len(images))
        high = torch.full_like(low, torch.inf)
        c = self.initial_c * 2 * search.shortfall(clean, torch.arange(len(images), device=images.device))
        for _ in range(self.searches):
            place = (right & (nearest.distance > eps_255)).nonzero().squeeze(1)
            if len(place) == 0:
                break
            broken = search.run(c, place)
            low, high = torch.where(broken, low, c), torch.where(broken, c, high)
            c = torch.where(high.isinf(), 10 * c, (low + high) / 2)
        _draw_back(view, images, nearest, eps_255)
        return nearest.within(view, rows, eps_255)[0]


def _slopes(view: GradientView, goal: ClassGoal, images: Tensor, clean: Tensor, place: Tensor) -> Tensor:
    """Norms (n, K) of the gradients of z_k - z_y at the images ``place``; 1 where none can be seen.

    Rivals beyond those that are looked at are given the largest norm of the others.
    """
    slopes = torch.ones_like(clean)
    if len(place) == 0:
        return slopes
    own = clean.new_full((len(place), clean.shape[1]), torch.nan)
    for rival in (one.take(place) for one in goal.rivals(clean)):
        gradient = view.evaluate(images[place], rival.gain, place.cpu()).gradient.nan_to_num(nan=0.0)
        own.scatter_(1, rival.classes[:, None], torch.linalg.vector_norm(gradient.flatten(1), dim=1)[:, None])
    own = torch.where(own.isnan(), own.nan_to_num(nan=0.0).amax(dim=1, keepdim=True), own)
    slopes[place] = torch.where(own > FLAT, own, 1.0)
    return slopes


def _draw_back(view: GradientView, images: Tensor, nearest: Nearest, enough_255: float) -> None:
    """Offer points between the images and the nearest ones found, where those lie beyond the budget."""
    place = (nearest.distance.isfinite() & (nearest.distance > enough_255)).nonzero().squeeze(1)
    if len(place) == 0:
        return
    start, whole = images[place], nearest.points[place] - images[place]
    low = images.new_zeros(len(place), 1, 1, 1)
    high = torch.ones_like(low)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        points = (start + middle * whole).clamp(0, 1)
        fooled = nearest.offer(points, view.logits(points, place.cpu()), place)[:, None, None, None]
        low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)


@dataclass(frozen=True)
class _Search:
    """Adam for one c per image."""

    attack: CwL2
    view: GradientView
    images: Tensor
    goal: ClassGoal
    nearest: Nearest
    enough_255: float
    slopes: Tensor

    def run(self, c: Tensor, place: Tensor) -> Tensor:
        """Minimise the objective of the images ``place`` (m,), c (n,); return (n,) whether a point fooled the view."""
        broken = none_yet(self.images)
        w = ((2 * self.images[place] - 1) * EDGE).atanh()
        first, second = torch.zeros_like(w), torch.zeros_like(w)
        lowest = torch.full_like(c, torch.inf)
        reach = (self.nearest.distance[place] / 255 / FAR).clamp(max=1)[:, None, None, None]
        look_every = max(1, self.attack.steps // CHECKS)
        for number in range(1, self.attack.steps + 2):
            points = (w.tanh() + 1) / 2
            objective, gradient, logits = self._objective(points, c, place)
            broken[place] |= self.nearest.offer(points, logits, place)
            if number > self.attack.steps:
                break
            slope = gradient * 2 * points * (1 - points)
            first = FIRST_BETA * first + (1 - FIRST_BETA) * slope
            second = SECOND_BETA * second + (1 - SECOND_BETA) * slope.square()
            mean, spread = first / (1 - FIRST_BETA**number), second / (1 - SECOND_BETA**number)
            rate = self.attack.learning_rate * LAST_RATE ** max(0.0, 2 * number / self.attack.steps - 1)
            w = w - rate * reach * mean / (spread.sqrt() + TINY)
            if number % look_every == 0:
                moving = (objective < 0.9999 * lowest[place]) & (self.nearest.distance[place] > self.enough_255)
                lowest[place] = torch.minimum(objective, lowest[place])
                place, w, first, second, reach = place[moving], w[moving], first[moving], second[moving], reach[moving]
                if len(place) == 0:
                    break
        return broken

    def _objective(self, points: Tensor, c: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values (m,), gradients for the points (m, C, H, W), logits (m, K)."""
        weight = c[place]

        def gap(logits: Tensor) -> Tensor:
            return weight * self.shortfall(logits, place)

        look = self.view.evaluate(points, gap, place.cpu())
        change = points - self.images[place]
        objective = change.square().flatten(1).sum(dim=1) + look.loss
        return objective, 2 * change + look.gradient.nan_to_num(nan=0.0), look.logits

    def shortfall(self, logits: Tensor, place: Tensor) -> Tensor:
        """How far (m,) the nearest boundary looks, in [0, 1] units of the image; 0 once it is crossed by kappa."""
        goal = self.goal.take(place)
        return goal.least_of_others((goal.behind(logits) + self.attack.kappa).clamp_min(0) / self.slopes[place])
