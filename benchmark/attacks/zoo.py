"""ZOO (Chen et al. 2017): Adam on single coordinates whose derivatives are finite differences of scores."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import ScoreView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.confirm import ScorePurse, first_broken, still_right
from benchmark.attacks.norms import project, radius
from benchmark.attacks.remaining import Remaining
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal

MOMENT, SQUARE, SMALL = 0.9, 0.999, 1e-8
"""Adam's decay rates and its guard against division by zero (algorithm 2)."""


@dataclass(frozen=True)
class Zoo:
    """Zeroth-order optimisation in L2 (Chen et al. 2017, algorithm 2), for a fixed radius.

    Each round estimates the derivative of the margin of log-probabilities (the paper's loss, equation 7) in a few
    coordinates by symmetric differences, two queries each, and moves these coordinates by Adam, whose moments and steps
    are kept per coordinate. Coordinates are visited in a random order, all of them before any again.

    The paper minimises the norm plus a constant times the loss and searches the constant. With the radius given,
    points are drawn back to the ball before they are asked about, so that a difference tells what a coordinate is worth
    at the cost of the others: the constant is not needed, and every query may be a success.

    An image is done at the first wrong label. Costs at most ``queries`` queries per image, fewer where the view has
    fewer left; the image itself is the first.

    Args:
        coordinates: coordinates per round.
        learning_rate: of Adam, as a share of the root-mean-square radius.
        delta: half the difference's width, in [0, 1] units of the image. The paper's 1e-4 sees nothing of a system
            whose scores are rounded or come from a vote.
        queries: most queries per image.

    Raises:
        BenchError: a parameter is out of range.
    """

    coordinates: int = 32
    learning_rate: float = 0.5
    delta: float = 0.1
    queries: int = 10_000
    knowledge: ClassVar[Literal["scores"]] = "scores"
    norm: ClassVar[str] = "l2"

    def __post_init__(self) -> None:
        check_at_least_one("zoo", coordinates=self.coordinates, queries=self.queries)
        for name, value in (("learning_rate", self.learning_rate), ("delta", self.delta)):
            if not 0 < value <= 10:
                raise BenchError(f"zoo: {name} is {value}; give a number in (0, 10].")

    def __call__(
        self,
        view: ScoreView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.ScoreAttack` says."""
        purse = ScorePurse(view, goal, self.queries)
        descent = _Descent(self, purse, images, still_right(purse, images), eps_255, draw)
        while len(descent.now.rows):
            descent.round()
        return descent.candidates


@dataclass(frozen=True)
class _State(Remaining):
    """The images still attacked; ``rows`` on the CPU, the others (n, D) flat."""

    change: Tensor
    mean: Tensor
    square: Tensor
    visits: Tensor
    order: Tensor
    """The coordinates in the order of their visits."""


class _Descent:
    """Coordinate-wise Adam for a batch."""

    def __init__(
        self, attack: Zoo, purse: ScorePurse, images: Tensor, rows: Tensor, eps_255: float, draw: Randomness
    ) -> None:
        self._attack, self._purse, self._eps_255, self._draw = attack, purse, eps_255, draw
        self._shape = images.shape[1:]
        self._radius = radius("l2", eps_255, self._shape)
        self._components = math.prod(self._shape)
        self.candidates = images.clone()
        flat = images[rows.to(images.device)].flatten(1)
        zero = torch.zeros_like(flat)
        self.now = _State(rows, flat, zero, zero, zero, zero, zero.long())
        self._visited = self._components

    def round(self) -> None:
        """Two queries for each of some coordinates, a step of Adam in them; drops images that are done."""
        chosen = self._next_coordinates()
        rise, broken = self._differences(chosen)
        self._step(chosen, rise)
        now = self.now
        active = ~broken.cpu()
        here = active.to(now.images.device)
        iterate = (now.images + now.change).reshape(-1, *self._shape)
        self.candidates[now.rows[active].to(iterate.device)] = iterate[here]
        self.now = now.take((active & (self._purse.left[now.rows] > 1)).nonzero().squeeze(1))

    def _next_coordinates(self) -> Tensor:
        """(n, m) int64; a new random order begins when all have been visited."""
        if self._visited >= self._components:
            numbers = self._draw.take(self.now.rows).uniform((self._components,))
            self.now = _replace_order(self.now, numbers.argsort(dim=1, stable=True))
            self._visited = 0
        chosen = self.now.order[:, self._visited : self._visited + self._attack.coordinates]
        self._visited += chosen.shape[1]
        return chosen

    def _differences(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Rise of the margin per coordinate (n, m), zero without a query left, and the misclassified images (n,)."""
        now, count = self.now, chosen.shape[1]
        old = now.change.gather(1, chosen)
        value = now.images.gather(1, chosen)
        sides = [(old + side).clamp(-value, 1 - value) for side in (self._attack.delta, -self._attack.delta)]
        fresh = torch.stack(sides, dim=2).flatten(1)
        place = chosen.repeat_interleave(2, dim=1)
        length = now.change.square().sum(dim=1)[:, None] - old.square().repeat_interleave(2, dim=1) + fresh.square()
        # Slightly inside, so that rounding leaves no point outside the ball.
        scale = (self._radius * (1 - 1e-6) / length.sqrt().clamp_min(1e-12)).clamp(max=1)
        points = now.change[:, None].repeat(1, 2 * count, 1)
        points.scatter_(2, place[:, :, None], fresh[:, :, None])
        points.mul_(scale[:, :, None]).add_(now.images[:, None]).clamp_(0, 1)
        points = points.reshape(len(points), 2 * count, *self._shape)
        paid = (torch.arange(count)[None] < self._purse.left[now.rows][:, None] // 2).repeat_interleave(2, dim=1)
        here = paid.to(points.device)
        margin, wrong = points.new_zeros(paid.shape), torch.zeros_like(here)
        margin[here], wrong[here] = self._purse.margins(points[here], now.rows[:, None].expand(paid.shape)[paid])
        broken, winners = first_broken(self._purse, points, now.rows, wrong)
        self.candidates[now.rows[broken.cpu()].to(points.device)] = winners[broken]
        return (margin[:, 0::2] - margin[:, 1::2]) / (2 * self._attack.delta), broken

    def _step(self, chosen: Tensor, rise: Tensor) -> None:
        """Adam in the chosen coordinates, then back into ball and box."""
        now = self.now
        visits = now.visits.gather(1, chosen) + 1
        mean = MOMENT * now.mean.gather(1, chosen) + (1 - MOMENT) * rise
        square = SQUARE * now.square.gather(1, chosen) + (1 - SQUARE) * rise.square()
        scale = (square / (1 - SQUARE**visits)).sqrt() + SMALL
        rate = self._attack.learning_rate * self._eps_255 / 255
        change = now.change.scatter_add(1, chosen, rate * (mean / (1 - MOMENT**visits)) / scale)
        whole = (now.images + change).reshape(-1, *self._shape)
        held = project(whole, now.images.reshape(-1, *self._shape), "l2", self._eps_255).flatten(1)
        self.now = _State(
            now.rows,
            now.images,
            held - now.images,
            now.mean.scatter(1, chosen, mean),
            now.square.scatter(1, chosen, square),
            now.visits.scatter(1, chosen, visits),
            now.order,
        )


def _replace_order(now: _State, order: Tensor) -> _State:
    return _State(now.rows, now.images, now.change, now.mean, now.square, now.visits, order)
