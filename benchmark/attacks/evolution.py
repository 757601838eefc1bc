"""One-pixel attack (Su et al. 2019): differential evolution over a few pixels, from scores alone."""

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import ScoreView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.confirm import ScorePurse, first_fallen, still_right
from benchmark.attacks.norms import radius
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task import Classification

WAVE = 20
"""Members asked about at once: bounds memory, and an image that falls asks no further wave."""

FACTOR = 0.5
"""Scale of the difference between two members (section 3.2)."""


@dataclass(frozen=True)
class OnePixel:
    """Differential evolution over the places and values of ``eps_255`` pixels (Su et al. 2019).

    A member of the population says for each pixel where it lies and which value it takes. A child is the best
    member plus half the difference of two others, without crossover, and takes its parent's place where its margin of
    log-probabilities is no lower. (The paper starts from a random member; the best one, as the field's code has it,
    needs fewer queries.) Places begin uniform, values Gaussian around the middle grey.

    An image is done at the first wrong label. Costs at most ``queries`` queries per image, fewer where the view has
    fewer left; the image itself is the first.

    Args:
        population: members; the authors take 400 and 100 generations.
        queries: most queries per image.

    Raises:
        BenchError: a parameter is out of range.
    """

    population: int = 100
    queries: int = 5000
    knowledge: ClassVar[Literal["scores"]] = "scores"
    norm: ClassVar[str] = "l0"

    def __post_init__(self) -> None:
        check_at_least_one("one-pixel", queries=self.queries)
        if self.population < 4:
            raise BenchError(f"one-pixel: population is {self.population}; a child needs at least 4 members.")

    def __call__(
        self,
        view: ScoreView,
        task: Classification,
        images: Tensor,
        labels: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.ScoreAttack` says; ``eps_255`` is the number of pixels."""
        pixels = min(int(radius("l0", eps_255, images.shape[1:])), images[0, 0].numel() if len(images) else 1)
        if pixels < 1:
            return images.clone()
        purse = ScorePurse(view, task, labels, self.queries)
        evolution = _Evolution(purse, images, still_right(purse, images), pixels, self.population, draw)
        evolution.begin()
        while len(evolution.now.rows):
            evolution.generation()
        return evolution.candidates


@dataclass(frozen=True)
class _State:
    """The images still attacked, all (n, ...); ``rows`` lies on the CPU."""

    rows: Tensor
    images: Tensor
    members: Tensor
    """(n, P, k, 2 + C) in [0, 1]: height, width and values of each pixel."""
    fitness: Tensor
    """(n, P) margins."""

    def take(self, place: Tensor) -> "_State":
        """The images at ``place`` (m,), which lies on the CPU."""
        here = place.to(self.images.device)
        parts = {field.name: getattr(self, field.name)[here] for field in fields(self) if field.name != "rows"}
        return _State(rows=self.rows[place], **parts)


class _Evolution:
    """The populations of a batch."""

    def __init__(
        self, purse: ScorePurse, images: Tensor, rows: Tensor, pixels: int, population: int, draw: Randomness
    ) -> None:
        self._purse, self._draw, self._pixels, self._population = purse, draw, pixels, population
        self.candidates = images.clone()
        mine = images[rows.to(images.device)]
        members = mine.new_zeros(len(mine), population, pixels, 2 + images.shape[1])
        self.now = _State(rows, mine, members, mine.new_full((len(mine), population), -torch.inf))

    def begin(self) -> None:
        """Ask about the first members."""
        draw, shape = self._draw.take(self.now.rows), (self._population, self._pixels)
        places = draw.uniform((*shape, 2))
        values = 0.5 + draw.normal((*shape, self.now.images.shape[1]), std=0.5)
        self._judge(torch.cat([places, values.clamp(0, 1)], dim=3))

    def generation(self) -> None:
        """One child per member."""
        count = self._population
        numbers = self._draw.take(self.now.rows).uniform((count, 3))
        base = (numbers[..., 0] * count).long().clamp(max=count - 1)
        one = 1 + (numbers[..., 1] * (count - 1)).long().clamp(max=count - 2)
        other = 1 + (numbers[..., 2] * (count - 2)).long().clamp(max=count - 3)
        other = other + (other >= one)
        best = self._members(self.now.fitness.argmax(dim=1, keepdim=True).expand(-1, count))
        first, second = (self._members((base + offset) % count) for offset in (one, other))
        self._judge((best + FACTOR * (first - second)).clamp(0, 1))

    def _members(self, index: Tensor) -> Tensor:
        """Members (n, P, k, 2 + C) at ``index`` (n, P)."""
        return self.now.members.gather(1, index[:, :, None, None].expand_as(self.now.members))

    def _judge(self, children: Tensor) -> None:
        """Ask about children, keep the better of child and parent, and let go of what fell or cannot pay."""
        now = self.now
        members, fitness = now.members.clone(), now.fitness.clone()
        standing = torch.ones(len(now.rows), dtype=torch.bool)
        for start in range(0, self._population, WAVE):
            asking = (standing & (self._purse.left[now.rows] > 0)).nonzero().squeeze(1)
            if len(asking) == 0:
                break
            here, part = asking.to(members.device), slice(start, start + WAVE)
            offspring = children[here, part]
            margin, fallen = self._ask(now.rows[asking], now.images[here], offspring)
            better = margin >= fitness[here, part]
            fitness[here, part] = torch.where(better, margin, fitness[here, part])
            members[here, part] = torch.where(better[:, :, None, None], offspring, members[here, part])
            standing[asking[fallen.cpu()]] = False
        self.now = _State(now.rows, now.images, members, fitness)
        self._let_go(standing)

    def _ask(self, rows: Tensor, images: Tensor, offspring: Tensor) -> tuple[Tensor, Tensor]:
        """Margins (n, m), minus infinity where the queries ran out, and which images fell (n,)."""
        points = painted(images, offspring)
        paid = torch.arange(points.shape[1])[None] < self._purse.left[rows][:, None]
        here = paid.to(points.device)
        margin = points.new_full(paid.shape, -torch.inf)
        wrong = torch.zeros_like(here)
        margin[here], wrong[here] = self._purse.margins(points[here], rows[:, None].expand(paid.shape)[paid])
        fallen, chosen = first_fallen(self._purse, points, rows, wrong)
        self.candidates[rows[fallen.cpu()].to(points.device)] = chosen[fallen]
        return margin, fallen

    def _let_go(self, standing: Tensor) -> None:
        spent = (standing & (self._purse.left[self.now.rows] < 1)).nonzero().squeeze(1)
        out = self.now.take(spent)
        if len(spent):
            best = out.fitness.argmax(dim=1)
            members = out.members[torch.arange(len(best), device=best.device), best]
            self.candidates[out.rows.to(best.device)] = painted(out.images, members[:, None])[:, 0]
        standing[spent] = False
        self.now = self.now.take(standing.nonzero().squeeze(1))


def painted(images: Tensor, members: Tensor) -> Tensor:
    """Images (n, C, H, W) with the pixels of members (n, m, k, 2 + C) painted in: (n, m, C, H, W)."""
    count, channels, height, width = images.shape
    down = (members[..., 0] * height).long().clamp(max=height - 1)
    right = (members[..., 1] * width).long().clamp(max=width - 1)
    place = (down * width + right)[:, :, None].expand(-1, -1, channels, -1)
    points = images.flatten(2)[:, None].repeat(1, members.shape[1], 1, 1)
    values = members[..., 2:].transpose(2, 3)
    for pixel in range(members.shape[2]):
        # One by one: where two pixels coincide the later one holds.
        points.scatter_(3, place[..., pixel : pixel + 1], values[..., pixel : pixel + 1])
    return points.reshape(count, -1, channels, height, width)
