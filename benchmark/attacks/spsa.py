"""SPSA (Uesato et al. 2018): gradients guessed from scores by perturbing all components at once."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import ScoreView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.base import project_linf
from benchmark.attacks.confirm import ScorePurse, first_broken, still_right
from benchmark.attacks.remaining import Remaining
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal

WAVE = 8
"""Pairs of points asked about at once: bounds memory, and a misclassified image takes no further wave."""

MOMENT, SQUARE, SMALL = 0.9, 0.999, 1e-8
"""Adam's decay rates and its guard against division by zero."""


@dataclass(frozen=True)
class Spsa:
    """Simultaneous perturbation stochastic approximation in L-inf (Uesato et al. 2018, section 4.1).

    Each iteration asks about ``samples`` pairs x + d v, x - d v with random signs v, sums the differences of the margin
    of log-probabilities times v, and takes a step of Adam up that sum, projected onto ball and box. The defaults are
    those of MedRDF's evaluation.

    Points asked about are projected too: each lies where an adversarial image may lie, so that a wrong label seen at
    any of them ends the attack on its image (the early stop), as one at the iterate does.

    Costs 1 + ``iterations`` * (2 * ``samples`` + 1) queries per image not yet misclassified, but never more than
    ``queries`` nor than the view has left; the last iteration then makes do with fewer pairs.

    Args:
        samples: pairs per iteration.
        iterations: steps of Adam.
        learning_rate: of Adam, in [0, 1] units of the image.
        delta: size of the perturbation, in the same units.
        queries: most queries per image.

    Raises:
        BenchError: a parameter is out of range.
    """

    samples: int = 128
    iterations: int = 100
    learning_rate: float = 0.01
    delta: float = 0.01
    queries: int = 2 * 128 * 100
    knowledge: ClassVar[Literal["scores"]] = "scores"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("spsa", samples=self.samples, iterations=self.iterations, queries=self.queries)
        for name, value in (("learning_rate", self.learning_rate), ("delta", self.delta)):
            if not 0 < value <= 1:
                raise BenchError(f"spsa: {name} is {value}; give a number in (0, 1].")

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
        rows = still_right(purse, images)
        ascent = _Ascent(self, purse, images, rows, eps_255 / 255, draw)
        for iteration in range(1, self.iterations + 1):
            if len(ascent.now.rows) == 0:
                break
            ascent.step(iteration)
        return ascent.finished()


@dataclass(frozen=True)
class _State(Remaining):
    """The images still attacked, all (n, ...); ``rows`` lies on the CPU."""

    iterate: Tensor
    mean: Tensor
    square: Tensor


class _Ascent:
    """Adam on guessed gradients for a batch; ``eps`` in [0, 1]."""

    def __init__(
        self, attack: Spsa, purse: ScorePurse, images: Tensor, rows: Tensor, eps: float, draw: Randomness
    ) -> None:
        self._attack, self._purse, self._eps, self._draw = attack, purse, eps, draw
        self._candidates = images.clone()
        mine = images[rows.to(images.device)]
        self.now = _State(rows, mine, mine, torch.zeros_like(mine), torch.zeros_like(mine))

    def finished(self) -> Tensor:
        """(N, C, H, W): misclassified points, and the last iterates of the others."""
        self._store(self.now.rows, self.now.iterate)
        return self._candidates

    def _store(self, rows: Tensor, points: Tensor) -> None:
        self._candidates[rows.to(points.device)] = points

    def step(self, iteration: int) -> None:
        """One iteration for every image not yet misclassified and can pay."""
        gradient, active = self._guess()
        self.now, gradient = self.now.take(active), gradient[active.to(gradient.device)]
        now = self.now
        mean = MOMENT * now.mean + (1 - MOMENT) * gradient
        square = SQUARE * now.square + (1 - SQUARE) * gradient.square()
        scale = (square / (1 - SQUARE**iteration)).sqrt() + SMALL
        move = self._attack.learning_rate * (mean / (1 - MOMENT**iteration)) / scale
        iterate = project_linf(now.iterate + move, now.images, self._eps)
        self.now = _State(now.rows, now.images, iterate, mean, square)
        self._look()

    def _look(self) -> None:
        """Ask about the iterates, and drop those that are misclassified or whose image has no query left."""
        paying = (self._purse.left[self.now.rows] > 0).nonzero().squeeze(1)
        asked = self.now.take(paying)
        wrong = self._purse.wrong(asked.iterate, asked.rows)
        wrong = self._purse.holds(asked.iterate, asked.rows, wrong, torch.ones_like(wrong)).cpu()
        self._store(self.now.rows, self.now.iterate)
        going = ~wrong & (self._purse.left[asked.rows] > 2)
        self.now = asked.take(going.nonzero().squeeze(1))

    def _guess(self) -> tuple[Tensor, Tensor]:
        """Sum of differences times signs (n, C, H, W), and the places of images that no point broke."""
        now, samples = self.now, self._attack.samples
        total = torch.zeros_like(now.iterate)
        active = torch.ones(len(now.rows), dtype=torch.bool)
        for start in range(0, samples, WAVE):
            pairs = min(WAVE, samples - start)
            able = self._purse.left[now.rows] > 0
            asking = (active & able).nonzero().squeeze(1)
            if len(asking) == 0:
                break
            active[asking[self._wave(now.take(asking), total, asking, pairs).cpu()]] = False
        return total, active.nonzero().squeeze(1)

    def _wave(self, now: _State, total: Tensor, asking: Tensor, pairs: int) -> Tensor:
        """Ask about some pairs, add to the total; returns which images are misclassified (n,) bool."""
        signs = self._draw.take(now.rows).uniform((pairs, *now.images.shape[1:]), -1, 1)
        signs = torch.where(signs > 0, 1.0, -1.0)
        reach = self._attack.delta * torch.stack([signs, -signs], dim=2).flatten(1, 2)
        points = project_linf(now.iterate[:, None] + reach, now.images[:, None], self._eps)
        # A pair that the purse cannot pay in full is not asked and says nothing.
        paid = (torch.arange(pairs)[None] < self._purse.left[now.rows][:, None] // 2).repeat_interleave(2, dim=1)
        here = paid.to(points.device)
        margin = points.new_zeros(paid.shape)
        wrong = torch.zeros_like(here)
        margin[here], wrong[here] = self._purse.margins(points[here], now.rows[:, None].expand(paid.shape)[paid])
        rise = margin[:, 0::2] - margin[:, 1::2]
        place = asking.to(total.device)
        for pair in range(pairs):
            # One by one: the order of a sum must not depend on the batch.
            total[place] += rise[:, pair, None, None, None] * signs[:, pair]
        broken, chosen = first_broken(self._purse, points, now.rows, wrong)
        self._store(now.rows[broken.cpu()], chosen[broken])
        return broken
