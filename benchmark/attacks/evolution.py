"""One-pixel attack (Su et al. 2019): differential evolution over a few pixels, from scores alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import ScoreView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.confirm import ScorePurse, first_broken, still_right
from benchmark.attacks.norms import radius
from benchmark.attacks.remaining import Remaining
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal

WAVE = 20
"""Members asked about at once: bounds memory, and a misclassified image takes no further wave."""

SHORTEST, LONGEST = 0.5, 1.0
"""Range of the factor of the difference between two members, drawn anew in each generation ("dither").

The paper's constant 0.5 lets the population shrink onto its best member before the places have been searched."""

FROM_BEST = 0.5
"""Share of children that start from the best member."""

CROSSOVER = 0.5
"""Probability that a pixel of the child is the new one."""


@dataclass(frozen=True)
class OnePixel:
    """Differential evolution over the places and values of ``eps_255`` pixels (Su et al. 2019).

    A member of the population says for each pixel where it lies and which value it takes. A child is a member plus a
    multiple of the difference of two others, and takes its parent's place where its margin of log-probabilities is no
    lower. Places begin uniform, values Gaussian around the middle grey.

    Departures from the paper (section 3.2), which asks 40,000 queries; with some thousands its population either moves
    hardly at all or, steered by the best member alone, gathers at a point that is no optimum:

    - half of the children start from the best member, the others from a random one as in the paper;
    - the factor of the difference is drawn between 0.5 and 1 in each generation; the paper's is 0.5;
    - each pixel of the child is its parent's with probability one half, all but one of them: what a good pixel is worth
      hardly depends on the others, and without crossover it is lost with them. The paper has none;
    - a place beyond the image is drawn anew. Put back onto the edge, places gather in the corners;
    - where all members lie on the same pixels, all but the best are drawn anew.

    An image is done at the first wrong label. Costs at most ``queries`` queries per image, fewer where the view has
    fewer left; the image itself is the first.

    Args:
        population: members; the authors take 400 for 100 generations. Few members see more generations.
        queries: most queries per image.

    Raises:
        BenchError: a parameter is out of range.
    """

    population: int = 20
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
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.ScoreAttack` says; ``eps_255`` is the number of pixels."""
        pixels = min(int(radius("l0", eps_255, images.shape[1:])), images[0, 0].numel() if len(images) else 1)
        if pixels < 1:
            return images.clone()
        purse = ScorePurse(view, goal, self.queries)
        evolution = _Evolution(purse, images, still_right(purse, images), pixels, self.population, draw)
        evolution.begin()
        while len(evolution.now.rows):
            evolution.generation()
        return evolution.candidates


@dataclass(frozen=True)
class _State(Remaining):
    """The images still attacked, all (n, ...); ``rows`` lies on the CPU."""

    members: Tensor
    """(n, P, k, 2 + C) in [0, 1]: height, width and values of each pixel."""
    fitness: Tensor
    """(n, P) margins."""


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
        self._judge(self._random_members(self.now.rows))

    def _random_members(self, rows: Tensor) -> Tensor:
        """(n, P, k, 2 + C)."""
        draw, shape = self._draw.take(rows), (self._population, self._pixels)
        places = draw.uniform((*shape, 2))
        values = 0.5 + draw.normal((*shape, self.now.images.shape[1]), std=0.5)
        return torch.cat([places, values.clamp(0, 1)], dim=3)

    def generation(self) -> None:
        """One child per member."""
        count, pixels, draw = self._population, self._pixels, self._draw.take(self.now.rows)
        base, first, second = self._three_others(draw.uniform((count, 3)))
        best = self.now.fitness.argmax(dim=1, keepdim=True).expand(-1, count)
        base = torch.where(draw.uniform((count,)) < FROM_BEST, best, base)
        factor = draw.uniform((1, 1, 1), SHORTEST, LONGEST)
        mutant = self._members(base) + factor * (self._members(first) - self._members(second))
        places, values = mutant[..., :2], mutant[..., 2:]
        places = torch.where((places < 0) | (places >= 1), draw.uniform((count, pixels, 2)), places)
        luck = draw.uniform((count, pixels))
        fresh = (luck < CROSSOVER) | (luck == luck.amin(dim=2, keepdim=True))
        mutant = torch.cat([places, values.clamp(0, 1)], dim=3)
        self._judge(self._begin_anew(torch.where(fresh[..., None], mutant, self.now.members)))

    def _begin_anew(self, children: Tensor) -> Tensor:
        """Replace the children (n, P, k, 2 + C) of a population that has settled, which keeps its best member alone."""
        now = self.now
        where = pixel_places(now.members, now.images.shape[2:])
        settled = (where == where[:, :1]).flatten(1).all(dim=1).nonzero().squeeze(1)
        if len(settled) == 0:
            return children
        best = now.fitness[settled].argmax(dim=1, keepdim=True)
        alone = torch.full_like(now.fitness[settled], -torch.inf).scatter(1, best, now.fitness[settled].gather(1, best))
        fitness, children = now.fitness.clone(), children.clone()
        fitness[settled], children[settled] = alone, self._random_members(now.rows[settled.cpu()])
        self.now = _State(now.rows, now.images, now.members, fitness)
        return children

    def _three_others(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Indices (n, P) of three members, unlike each other and the parent; ``numbers`` (n, P, 3) in [0, 1)."""
        count = self._population
        choices = torch.arange(count - 1, count - 4, -1, device=numbers.device)
        one, two, three = torch.minimum((numbers * choices).long(), choices - 1).unbind(dim=2)
        two = two + (two >= one)
        for taken in (torch.minimum(one, two), torch.maximum(one, two)):
            three = three + (three >= taken)
        parent = torch.arange(count, device=numbers.device)
        return (parent + 1 + one) % count, (parent + 1 + two) % count, (parent + 1 + three) % count

    def _members(self, index: Tensor) -> Tensor:
        """Members (n, P, k, 2 + C) at ``index`` (n, P)."""
        return self.now.members.gather(1, index[:, :, None, None].expand_as(self.now.members))

    def _judge(self, children: Tensor) -> None:
        """Ask about children, keep the better of child and parent, and drop images that are done."""
        now = self.now
        members, fitness = now.members.clone(), now.fitness.clone()
        active = torch.ones(len(now.rows), dtype=torch.bool)
        for start in range(0, self._population, WAVE):
            asking = (active & (self._purse.left[now.rows] > 0)).nonzero().squeeze(1)
            if len(asking) == 0:
                break
            here, part = asking.to(members.device), slice(start, start + WAVE)
            offspring = children[here, part]
            margin, broken = self._ask(now.rows[asking], now.images[here], offspring)
            better = margin >= fitness[here, part]
            fitness[here, part] = torch.where(better, margin, fitness[here, part])
            members[here, part] = torch.where(better[:, :, None, None], offspring, members[here, part])
            active[asking[broken.cpu()]] = False
        self.now = _State(now.rows, now.images, members, fitness)
        self._let_go(active)

    def _ask(self, rows: Tensor, images: Tensor, offspring: Tensor) -> tuple[Tensor, Tensor]:
        """Margins (n, m), minus infinity where the queries ran out, and which images are misclassified (n,)."""
        points = painted(images, offspring)
        paid = torch.arange(points.shape[1])[None] < self._purse.left[rows][:, None]
        here = paid.to(points.device)
        margin = points.new_full(paid.shape, -torch.inf)
        wrong = torch.zeros_like(here)
        margin[here], wrong[here] = self._purse.margins(points[here], rows[:, None].expand(paid.shape)[paid])
        broken, chosen = first_broken(self._purse, points, rows, wrong)
        self.candidates[rows[broken.cpu()].to(points.device)] = chosen[broken]
        return margin, broken

    def _let_go(self, active: Tensor) -> None:
        spent = (active & (self._purse.left[self.now.rows] < 1)).nonzero().squeeze(1)
        out = self.now.take(spent)
        if len(spent):
            best = out.fitness.argmax(dim=1)
            members = out.members[torch.arange(len(best), device=best.device), best]
            self.candidates[out.rows.to(best.device)] = painted(out.images, members[:, None])[:, 0]
        active[spent] = False
        self.now = self.now.take(active.nonzero().squeeze(1))


def pixel_places(members: Tensor, size: Sequence[int]) -> Tensor:
    """Which pixel of an image of ``size`` (H, W), counted row by row, each of members (..., 2 + C) lies on: (...)."""
    height, width = size
    down = (members[..., 0] * height).long().clamp(max=height - 1)
    right = (members[..., 1] * width).long().clamp(max=width - 1)
    return down * width + right


def painted(images: Tensor, members: Tensor) -> Tensor:
    """Images (n, C, H, W) with the pixels of members (n, m, k, 2 + C) painted in: (n, m, C, H, W)."""
    count, channels, height, width = images.shape
    place = pixel_places(members, (height, width))[:, :, None].expand(-1, -1, channels, -1)
    points = images.flatten(2)[:, None].repeat(1, members.shape[1], 1, 1)
    values = members[..., 2:].transpose(2, 3)
    for pixel in range(members.shape[2]):
        # One by one: where two pixels coincide the later one holds.
        points.scatter_(3, place[..., pixel : pixel + 1], values[..., pixel : pixel + 1])
    return points.reshape(count, -1, channels, height, width)
