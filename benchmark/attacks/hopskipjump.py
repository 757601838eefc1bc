"""HopSkipJump (Chen et al. 2020): labels alone, along the decision boundary."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.access import LabelView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.base import ascent_signs, choose
from benchmark.attacks.confirm import Purse, still_right
from benchmark.attacks.norms import distance, project
from benchmark.attacks.remaining import Remaining
from benchmark.errors import BenchError, did_you_mean
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal

TRIALS = 100
"""Random images tried before an image is given up for want of a start."""

GRIDS = (0, 4, 1, 2, 8)
"""Cells per side of the random images, in turn; 0 is a cell per pixel. Many networks give all pixel noise one label."""

WAVE = 8
"""Points asked about at once in a guess of the gradient; bounds memory."""

REACH = 0.1
"""Size of the random steps of a guess, as a share of the distance to the image."""

FIRST_REACH = 0.1
"""The same in the first guess, as a share of the box (the authors' code)."""

RESERVE = 25
"""Queries kept for the step and the search that follow a guess."""

HALVINGS = 15
"""Most halvings of a step."""


@dataclass(frozen=True)
class HopSkipJump:
    """HopSkipJump attack (Chen et al. 2020, algorithm 2), from the deployed label alone.

    From a random image with a wrong label: search the boundary on the way to the image, guess the boundary's normal
    there from the labels of random neighbours (equation 16), step along it, and search again. In L-inf the way to the
    image shrinks a box, in L2 it is the straight line.

    An image is done as soon as a wrong label is seen inside the ball. Costs at most ``queries`` queries per image,
    fewer where the view has fewer left or the rest would not pay for another round; the image itself is the first.

    Args:
        queries: most queries per image.
        norm: "linf" or "l2".
        first_samples: queries of the first guess; the t-th takes sqrt(t) times as many.

    Raises:
        BenchError: a parameter is out of range.
    """

    queries: int = 5000
    norm: str = "linf"
    first_samples: int = 100
    knowledge: ClassVar[Literal["labels"]] = "labels"

    def __post_init__(self) -> None:
        check_at_least_one("hopskipjump", queries=self.queries, first_samples=self.first_samples)
        if self.norm not in ("linf", "l2"):
            raise BenchError(f"hopskipjump: unknown norm '{self.norm}'.{did_you_mean(self.norm, ('linf', 'l2'))}")

    def __call__(
        self,
        view: LabelView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.LabelAttack` says."""
        purse = Purse(view, goal, self.queries)
        walk = _Walk(purse, images, still_right(purse, images), self.norm, eps_255, draw)
        walk.begin()
        iteration = 1
        while len(walk.now.rows):
            walk.hop(iteration, int(self.first_samples * math.sqrt(iteration)))
            iteration += 1
        return walk.candidates


@dataclass(frozen=True)
class _State(Remaining):
    """The images still attacked, all (n, ...): ``rows`` on the CPU, ``point`` a wrong image near the boundary."""

    point: Tensor


class _Walk:
    """The walk along the boundary for a batch."""

    def __init__(self, purse: Purse, images: Tensor, rows: Tensor, norm: str, eps_255: float, draw: Randomness) -> None:
        self._purse, self._norm, self._eps, self._draw = purse, norm, eps_255, draw
        self.candidates = images.clone()
        mine = images[rows.to(images.device)]
        self.now = _State(rows, mine, mine)
        self._tolerance = REACH / math.sqrt(max(1, math.prod(images.shape[1:])))

    def begin(self) -> None:
        """Find a wrong image for each, and the boundary on the way to it; images without one are given up."""
        point = self.now.point.clone()
        found = torch.zeros(len(point), dtype=torch.bool)
        for trial in range(TRIALS):
            asked = (~found & (self._purse.left[self.now.rows] > 0)).nonzero().squeeze(1)
            if len(asked) == 0:
                break
            rows = self.now.rows[asked]
            noise = self._noise(rows, GRIDS[trial % len(GRIDS)], point.shape[1:])
            wrong = self._ask(noise, rows, torch.zeros(len(rows), dtype=torch.bool, device=point.device))
            found[asked] = wrong.cpu()
            point[asked[wrong.cpu()].to(point.device)] = noise[wrong]
        self.now = _State(self.now.rows, self.now.images, point).take(found.nonzero().squeeze(1))
        self._search()

    def _noise(self, rows: Tensor, grid: int, shape: torch.Size) -> Tensor:
        draw = self._draw.take(rows)
        if grid == 0:
            return draw.uniform(shape)
        return F.interpolate(draw.uniform((shape[0], grid, grid)), size=shape[1:], mode="nearest")

    def _ask(self, points: Tensor, rows: Tensor, final: Tensor) -> Tensor:
        return self._purse.holds(points, rows, self._purse.wrong(points, rows), final)

    def hop(self, iteration: int, samples: int) -> None:
        """Guess the normal, step along it, and search the boundary again."""
        now = self.now
        away = distance(now.point, now.images, self._norm)
        length = torch.linalg.vector_norm((now.point - now.images).flatten(1), dim=1)
        reach = torch.full_like(length, FIRST_REACH) if iteration == 1 else REACH * length
        normal = self._guess(reach, samples)
        if self._norm == "linf":
            direction, step = ascent_signs(normal), away / 255 / math.sqrt(iteration)
        else:
            size = torch.linalg.vector_norm(normal.flatten(1), dim=1).clamp_min(1e-12)
            direction, step = normal / size[:, None, None, None], length / math.sqrt(iteration)
        self._step(direction, step)
        self._search()

    def _guess(self, reach: Tensor, samples: int) -> Tensor:
        """Monte Carlo estimate (n, C, H, W) of the boundary's normal, towards wrong labels (equation 16)."""
        now = self.now
        shape = now.point.shape[1:]
        per_image = torch.zeros(len(now.rows), dtype=torch.int64)
        allowed = (self._purse.left[now.rows] - RESERVE).clamp(min=0, max=samples)
        signed, plain = torch.zeros_like(now.point), torch.zeros_like(now.point)
        balance = now.point.new_zeros(len(now.rows))
        for _ in range(0, samples, WAVE):
            asking = (allowed > per_image).nonzero().squeeze(1)
            if len(asking) == 0:
                break
            here = asking.to(now.point.device)
            draw = self._draw.take(now.rows[asking])
            noise = draw.normal((WAVE, *shape)) if self._norm == "l2" else draw.uniform((WAVE, *shape), -1, 1)
            size = torch.linalg.vector_norm(noise.flatten(2), dim=2).clamp_min(1e-12)
            scale = reach[here, None, None, None, None]
            centre = now.point[here][:, None]
            points = (centre + scale * noise / size[:, :, None, None, None]).clamp(0, 1)
            moved = (points - centre) / scale
            paid = torch.arange(WAVE)[None] < (allowed - per_image)[asking][:, None]
            signs = points.new_zeros(paid.shape)
            inside = paid.to(points.device)
            wrong = self._purse.wrong(points[inside], now.rows[asking][:, None].expand(paid.shape)[paid])
            signs[inside] = torch.where(wrong, 1.0, -1.0)
            for sample in range(WAVE):
                # One by one: the order of a sum must not depend on the batch.
                signed[here] += signs[:, sample, None, None, None] * moved[:, sample]
                plain[here] += inside[:, sample, None, None, None] * moved[:, sample]
                balance[here] += signs[:, sample]
            per_image[asking] += paid.sum(dim=1)
        mean = balance / per_image.to(balance.device).clamp_min(1)
        one_sided = mean.abs() > 1 - 1e-6
        return choose(one_sided, signed, signed - mean[:, None, None, None] * plain)

    def _step(self, direction: Tensor, step: Tensor) -> None:
        """Halve the step until its end is wrong; an image for which it never is stays where it stands."""
        now, point = self.now, self.now.point.clone()
        open_ = torch.ones(len(now.rows), dtype=torch.bool)
        for _ in range(HALVINGS):
            asked = (open_ & (self._purse.left[now.rows] > 0)).nonzero().squeeze(1)
            if len(asked) == 0:
                break
            here = asked.to(point.device)
            ends = (now.point[here] + step[here, None, None, None] * direction[here]).clamp(0, 1)
            wrong = self._ask(ends, now.rows[asked], torch.zeros_like(here, dtype=torch.bool))
            point[here[wrong]] = ends[wrong]
            open_[asked[wrong.cpu()]] = False
            step = step / 2
        self.now = _State(now.rows, now.images, point)

    def _search(self) -> None:
        """Search the boundary between images and wrong points; drop images that are done."""
        now = self.now
        far = distance(now.point, now.images, self._norm)
        low, high = torch.zeros_like(far), far.clone()
        broken = torch.zeros_like(far, dtype=torch.bool)
        while True:
            wide = (high - low > self._tolerance * far) & ~broken
            asked = (wide.cpu() & (self._purse.left[now.rows] > 0)).nonzero().squeeze(1)
            if len(asked) == 0:
                break
            here = asked.to(far.device)
            half = (low + high)[here] / 2
            # Nothing below the ball's own radius need be known, and at that radius one answer may end the attack.
            middle = torch.where(low[here] < self._eps, half.clamp_min(self._eps), half).minimum(high[here])
            points = self._between(now.take(asked), middle, far[here])
            inside = middle <= self._eps
            wrong = self._ask(points, now.rows[asked], inside)
            high[here] = torch.where(wrong, middle, high[here])
            low[here] = torch.where(wrong, low[here], middle)
            broken[here] = wrong & inside
        point = self._between(now, high, far)
        self.now = _State(now.rows, now.images, point)
        self.candidates[now.rows.to(point.device)] = project(point, now.images, self._norm, self._eps)
        going = ~broken.cpu() & (self._purse.left[now.rows] > RESERVE)
        self.now = self.now.take(going.nonzero().squeeze(1))

    def _between(self, now: _State, away: Tensor, far: Tensor) -> Tensor:
        """Points at distance ``away`` (n,) from the images on the way to ``now.point`` at distance ``far`` (n,)."""
        if self._norm == "linf":
            reach = away[:, None, None, None] / 255
            return now.point.maximum(now.images - reach).minimum(now.images + reach)
        share = (away / far.clamp_min(1e-12))[:, None, None, None]
        return now.images + share * (now.point - now.images)
