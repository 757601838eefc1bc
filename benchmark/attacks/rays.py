"""RayS (Chen & Gu 2020): labels alone, a search over the signs of the perturbation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import LabelView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.base import choose, project_linf
from benchmark.attacks.confirm import Purse, still_right
from benchmark.attacks.remaining import Remaining
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal

TOLERANCE = 1e-3
"""Where a binary search ends, as a Euclidean length (the authors' code)."""


@dataclass(frozen=True)
class Rays:
    """RayS in L-inf (Chen & Gu 2020, algorithms 1 to 3), from the deployed label alone.

    Which signs s reach a wrong label at the smallest radius r, at the image + r s? Blocks of signs are flipped, halves
    of the image first, then quarters and so on (section 3.3). A flip is tried at the smallest radius known (one query,
    the fast check) and searched further only where it is wrong there.

    An image is done as soon as a wrong label is seen inside the ball.

    Costs at most ``queries`` queries per image, fewer where the view has fewer left; the image itself is the first.

    Args:
        queries: most queries per image.

    Raises:
        BenchError: a parameter is out of range.
    """

    queries: int = 2000
    knowledge: ClassVar[Literal["labels"]] = "labels"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("rays", queries=self.queries)

    def __call__(
        self,
        view: LabelView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.LabelAttack` says; nothing is drawn."""
        candidates = images.clone()
        purse = Purse(view, goal, self.queries)
        rows = still_right(purse, images)
        search = _Search(purse, images[rows.to(images.device)], rows, eps_255 / 255)
        for done, points in search.steps():
            candidates[done.to(images.device)] = points
        return candidates


def searched(
    purse: Purse, images: Tensor, rows: Tensor, eps_255: float, signs: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Search as :class:`Rays` does, from a first direction that is known to be a good one.

    Args:
        purse: pays for the questions.
        images: (n, C, H, W) of the images ``rows``, whose labels are still right.
        rows: (n,) int64 on the CPU.
        eps_255: radius in 1/255.
        signs: (n, C, H, W) of -1 and 1.

    Yields:
        Rows that are done, and their points inside the ball.
    """
    yield from _Search(purse, images, rows, eps_255 / 255, signs).steps()


@dataclass(frozen=True)
class _State(Remaining):
    """The images still searched; all (n, ...)."""

    signs: Tensor
    """Best direction so far."""
    radius: Tensor
    """The smallest at which it was seen wrong; 1 reaches the box's faces everywhere."""
    trial: Tensor
    """Direction now asked about."""
    low: Tensor
    """Largest radius at which the trial was seen right."""
    searching: Tensor
    """Whether the trial has passed the fast check."""
    level: Tensor
    """The image is cut into 2^level blocks."""
    block: Tensor


class _Search:
    """Each image asks one question a round, of its fast check or of its binary search, so that batches stay full."""

    def __init__(self, purse: Purse, images: Tensor, rows: Tensor, eps: float, first: Tensor | None = None) -> None:
        self._purse, self._eps = purse, eps
        self._components = images[0].numel() if len(images) else 1
        self._order = torch.arange(self._components, device=images.device)
        self._tolerance = TOLERANCE / self._components**0.5
        signs = (torch.ones_like(images) if first is None else first).flatten(1)
        zero = images.new_zeros(len(images))
        flat = torch.zeros_like(zero, dtype=torch.int64)
        self.now = _State(rows, images, signs, zero + 1, signs, zero, zero > 0, flat, flat - 1)

    def steps(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Ask until nothing is left; yields rows that are done with their points."""
        while len(self.now.rows):
            yield self.step()

    def step(self) -> tuple[Tensor, Tensor]:
        """Ask one question for each image; returns the rows that are done with their points."""
        now = self.now
        # Nothing below the ball's own radius need be known, and at that radius one answer may end the search.
        half = (now.low + now.radius) / 2
        middle = torch.where(now.low < self._eps, half.clamp_min(self._eps), half)
        asked = torch.where(now.searching, middle, now.radius)
        points = self._at(now, now.trial, asked)
        wrong = self._purse.wrong(points, now.rows)
        inside = asked <= self._eps * (1 + 1e-6)
        wrong = self._purse.holds(points, now.rows, wrong, inside)
        return self._learn(asked, wrong, wrong & inside)

    def _at(self, now: _State, signs: Tensor, radius: Tensor) -> Tensor:
        return (now.images + (radius[:, None] * signs).reshape(now.images.shape)).clamp(0, 1)

    def _learn(self, asked: Tensor, wrong: Tensor, broken: Tensor) -> tuple[Tensor, Tensor]:
        """Narrow the searches, go to the next block where one has ended, and let go of what is done."""
        now = self.now
        passed = wrong & ~now.searching
        radius = torch.where(wrong, asked, now.radius)
        low = torch.where(passed, 0.0, torch.where(now.searching & ~wrong, asked, now.low))
        signs = choose(passed | (now.searching & wrong), now.trial, now.signs)
        searching = (now.searching | wrong) & (radius - low > self._tolerance)
        level, block, trial = self._next_trial(signs, ~searching, now)
        self.now = _State(now.rows, now.images, signs, radius, trial, low, searching, level, block)
        ends = broken.cpu() | (self._purse.left[now.rows] < 1)
        place = ends.nonzero().squeeze(1)
        out = self.now.take(place)
        if len(place):
            self.now = self.now.take((~ends).nonzero().squeeze(1))
        edge = self._at(out, out.signs, torch.full_like(out.radius, self._eps))
        return out.rows, project_linf(edge, out.images, self._eps)

    def _next_trial(self, signs: Tensor, fresh: Tensor, now: _State) -> tuple[Tensor, Tensor, Tensor]:
        """Flip the next block where a ``fresh`` (n,) trial is due; returns level, block and direction."""
        size = self._size(now.level)
        block = now.block + 1
        over = (block * size >= self._components) | (block >= 2**now.level)
        level = torch.where(fresh & over & (now.block >= 0), now.level + 1, now.level)
        block = torch.where(fresh, torch.where(over, 0, block), now.block)
        start = block * self._size(level)
        within = (self._order >= start[:, None]) & (self._order < (start + self._size(level))[:, None])
        flipped = torch.where(within, -signs, signs)
        return level, block, choose(fresh, flipped, now.trial)

    def _size(self, level: Tensor) -> Tensor:
        """Components per block, (n,) int64."""
        count = 2 ** level.clamp(max=40)
        return (self._components + count - 1) // count
