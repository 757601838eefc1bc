"""Square Attack (Andriushchenko et al. 2020): random search with squares, from scores alone."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import ScoreView
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.base import all_rows, choose, no_value
from benchmark.attacks.confirm import CLEAR_MAJORITY, CONFIRMATIONS, FRESH_LOOKS
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal

BLOCK = 256
"""Iterations whose random numbers are drawn at once."""

SCHEDULE = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Iterations (of 10 000) after which the share of pixels in a square is halved (section 4)."""


@dataclass(frozen=True)
class Square:
    """Square Attack in L-inf on the margin of the log-probabilities.

    An image is done when the deployed label is wrong (an abstention is), and asks no further query then. Against a
    stochastic system the luckiest of thousands of looks would win: there a proposal that looks better or wrong is put 4
    more times, only these count, and if most of them are wrong, three quarters of 16 further ones must be for the image
    to be done.

    Three departures from the authors' code, none to the attacker's harm: a square that would change nothing takes the
    opposite signs (with one channel that is every second small square), a proposal that scores the same is accepted
    (scores of a quantised or voting system have plateaus), and squares reach the last row and column too.

    Costs at most ``queries`` queries per image, fewer where the view has fewer left.

    Args:
        queries: most queries per image; the schedule of sizes is stretched to it.
        p_init: share of pixels in the first squares.

    Raises:
        BenchError: a parameter is out of range.
    """

    queries: int = 5000
    p_init: float = 0.8
    knowledge: ClassVar[Literal["scores"]] = "scores"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("square", queries=self.queries)
        if not 0 < self.p_init <= 1:
            raise BenchError(f"square: p_init is {self.p_init}; give a share in (0, 1].")

    def __call__(
        self,
        view: ScoreView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.ScoreAttack` says."""
        candidates = images.clone()
        rows = all_rows(images)
        left = view.remaining(rows).clamp(max=self.queries)
        search = _Search(view, goal, images, rows, left, eps_255 / 255, draw, candidates)
        search.keep(left > 0)
        search.start()
        for iteration in range(1, self.queries):
            if len(search.rows) == 0:
                break
            search.step(self.side(iteration, images.shape[2], images.shape[3]))
        search.write_back()
        return candidates

    def side(self, iteration: int, height: int, width: int) -> int:
        """Side of the square at an iteration, in pixels."""
        place = iteration * 10_000 // self.queries
        share = self.p_init / 2 ** sum(place > bound for bound in SCHEDULE)
        return min(max(1, round(math.sqrt(share * height * width))), height, width)


class _Search:
    """The images still searched, kept together so that each iteration costs a few tensor operations in all."""

    def __init__(
        self,
        view: ScoreView,
        goal: Goal,
        images: Tensor,
        rows: Tensor,
        left: Tensor,
        eps: float,
        draw: Randomness,
        candidates: Tensor,
    ) -> None:
        self._view, self._goal, self._draw, self._candidates = view, goal, draw, candidates
        self.rows, self._left = rows, left
        self._upper, self._lower = (images + eps).clamp(max=1), (images - eps).clamp(min=0)
        self._best = images
        self._margin = no_value(images)
        self._numbers = torch.empty(len(images), 0, 2 + images.shape[1], device=images.device)
        self._next_number = 0

    def keep(self, still: Tensor) -> None:
        """Write back the images not ``still`` searched (n,) bool on the CPU, and go on without them."""
        if bool(still.all()):
            return
        self.write_back()
        place = still.nonzero().squeeze(1)
        self.rows, self._left = self.rows[place], self._left[place]
        here = place.to(self._best.device)
        self._goal, self._margin = self._goal.take(here), self._margin[here]
        self._upper, self._lower, self._best = self._upper[here], self._lower[here], self._best[here]
        self._numbers = self._numbers[here]

    def write_back(self) -> None:
        """Store the best images found so far."""
        self._candidates[self.rows.to(self._best.device)] = self._best

    def start(self) -> None:
        """Begin with vertical stripes at the faces of the ball."""
        if len(self.rows) == 0:
            return
        signs = self._draw.take(self.rows).uniform((self._best.shape[1], 1, self._best.shape[3]), -1, 1)
        self._judge(torch.where(signs > 0, self._upper, self._lower))

    def step(self, side: int) -> None:
        """Propose one square of ``side`` pixels for every image still searched."""
        count, channels, height, width = self._best.shape
        numbers = self._take_numbers(channels)
        down, right = torch.arange(side, device=numbers.device), torch.arange(side, device=numbers.device)
        top = (numbers[:, 0] * (height - side + 1)).long().clamp(max=height - side)
        first = (numbers[:, 1] * (width - side + 1)).long().clamp(max=width - side)
        window = (
            torch.arange(count, device=numbers.device)[:, None, None, None],
            torch.arange(channels, device=numbers.device)[None, :, None, None],
            (top[:, None] + down)[:, None, :, None],
            (first[:, None] + right)[:, None, None, :],
        )
        upper, lower, old = self._upper[window], self._lower[window], self._best[window]
        positive = (numbers[:, 2:] > 0.5)[:, :, None, None]
        fresh = torch.where(positive, upper, lower)
        idle = (fresh == old).flatten(1).all(dim=1)
        proposal = self._best.clone()
        proposal[window] = choose(idle, torch.where(positive, lower, upper), fresh)
        self._judge(proposal)

    def _take_numbers(self, channels: int) -> Tensor:
        """(n, 2 + C) uniform numbers: place of the square and a sign per channel."""
        if self._next_number == self._numbers.shape[1]:
            self._numbers = self._draw.take(self.rows).uniform((BLOCK, 2 + channels))
            self._next_number = 0
        self._next_number += 1
        return self._numbers[:, self._next_number - 1]

    def _judge(self, proposal: Tensor) -> None:
        """Query, accept what is no worse, and drop images that are misclassified or have no query left."""
        scores, label = self._view.query(proposal, self.rows)
        margin, wrong = self._goal.margin(scores), self._goal.missed(label)
        self._left = self._left - 1
        if self._view.stochastic:
            margin, wrong = self._settled(proposal, margin, wrong)
        accepted = wrong | (margin >= self._margin)
        self._best = choose(accepted, proposal, self._best)
        self._margin = torch.where(accepted, margin, self._margin)
        self.keep(~wrong.cpu() & (self._left > 0))

    def _settled(self, proposal: Tensor, margin: Tensor, wrong: Tensor) -> tuple[Tensor, Tensor]:
        """Replace the lucky first look by fresh ones, wherever it would have changed anything."""
        margin, faults = self._fresh(proposal, wrong | (margin >= self._margin), margin, wrong, FRESH_LOOKS)
        _, faults = self._fresh(proposal, faults > 0.5, margin, faults > 0.5, CONFIRMATIONS)
        return margin, faults >= CLEAR_MAJORITY

    def _fresh(
        self, proposal: Tensor, chosen: Tensor, margin: Tensor, wrong: Tensor, looks: int
    ) -> tuple[Tensor, Tensor]:
        """Mean margin and share of wrong labels over fresh looks at the chosen; others, or without budget, as given."""
        seen, total, faults = torch.zeros_like(margin), torch.zeros_like(margin), torch.zeros_like(margin)
        for _ in range(looks):
            asked = (chosen.cpu() & (self._left > 0)).nonzero().squeeze(1)
            if len(asked) == 0:
                break
            here = asked.to(proposal.device)
            scores, label = self._view.query(proposal[here], self.rows[asked])
            self._left[asked] -= 1
            seen[here] += 1
            goal = self._goal.take(here)
            total[here] += goal.margin(scores)
            faults[here] += goal.missed(label).to(faults.dtype)
        count = seen.clamp_min(1)
        return torch.where(seen > 0, total / count, margin), torch.where(
            seen > 0, faults / count, wrong.to(faults.dtype)
        )
