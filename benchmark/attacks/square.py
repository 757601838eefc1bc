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

MOST_AT_ONCE = 16
"""Proposals of an image that are asked about at once."""

PIXELS_AT_ONCE = 1 << 17
"""Pixels of a pass beyond which a further image costs its full share: no proposals are asked ahead there."""

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
        height, width = images.shape[2:]
        sides = torch.tensor([self.side(iteration, height, width) for iteration in range(self.queries)])
        search = _Search(view, goal, images, rows, left, eps_255 / 255, draw, candidates, sides.to(images.device))
        search.keep(left > 0)
        search.start()
        while len(search.rows) > 0:
            search.step()
        search.write_back()
        return candidates

    def side(self, iteration: int, height: int, width: int) -> int:
        """Side of the square at an iteration, in pixels."""
        place = iteration * 10_000 // self.queries
        share = self.p_init / 2 ** sum(place > bound for bound in SCHEDULE)
        return min(max(1, round(math.sqrt(share * height * width))), height, width)


class _Search:
    """The images still searched, kept together so that each look costs a few tensor operations in all.

    Most proposals change nothing. Of a deterministic system several that follow each other are therefore asked about at
    once; what comes after one that is accepted has been asked in vain and is taken back, so that the search is the one
    that asks one by one.
    """

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
        sides: Tensor,
    ) -> None:
        self._view, self._goal, self._draw, self._candidates = view, goal, draw, candidates
        self.rows, self._left = rows, left
        self._upper, self._lower = (images + eps).clamp(max=1), (images - eps).clamp(min=0)
        self._best = images
        self._margin = no_value(images)
        self._sides = sides
        self._iteration = torch.ones(len(images), dtype=torch.int64, device=images.device)
        self._numbers = torch.empty(len(images), 0, 2 + images.shape[1], device=images.device)
        self._first_number = 1
        self._used = 1.0

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
        self._numbers, self._iteration = self._numbers[here], self._iteration[here]

    def write_back(self) -> None:
        """Store the best images found so far."""
        self._candidates[self.rows.to(self._best.device)] = self._best

    def start(self) -> None:
        """Begin with vertical stripes at the faces of the ball."""
        if len(self.rows) == 0:
            return
        signs = self._draw.take(self.rows).uniform((self._best.shape[1], 1, self._best.shape[3]), -1, 1)
        proposal = torch.where(signs > 0, self._upper, self._lower)
        scores, label = self._view.query(proposal, self.rows)
        margin, wrong = self._goal.margin(scores), self._goal.missed(label)
        self._left = self._left - 1
        if self._view.stochastic:
            margin, wrong = self._settled(proposal, margin, wrong)
        self._accept(wrong | (margin >= self._margin), proposal, margin)
        self._go_on(wrong)

    def step(self) -> None:
        """Ask about the next proposals of every image still searched, and take the first that is no worse."""
        count = self._at_once()
        ahead = torch.arange(count, device=self._best.device)
        iterations = self._iteration[:, None] + ahead
        asked = (iterations < len(self._sides)) & (ahead < self._left.to(ahead.device)[:, None])
        proposals = self._proposals(iterations.clamp(max=len(self._sides) - 1))
        image, place = asked.nonzero(as_tuple=True)
        scores, label = self._view.query(proposals[image, place], self.rows[image.cpu()])
        goal = self._goal.take(image)
        margins = self._margin.new_full(asked.shape, -torch.inf).index_put((image, place), goal.margin(scores))
        wrongs = torch.zeros_like(asked).index_put((image, place), goal.missed(label))
        gain = asked & (wrongs | (margins >= self._margin[:, None]))
        # The first that is taken, or the last that was asked about.
        taken = torch.where(gain.any(dim=1), gain.to(torch.int8).argmax(dim=1), asked.sum(dim=1) - 1)
        here = torch.arange(len(taken), device=taken.device)
        proposal, margin, wrong = proposals[here, taken], margins[here, taken], wrongs[here, taken]
        self._view.take_back(self.rows, (asked.sum(dim=1) - taken - 1).cpu())
        self._iteration, self._left = self._iteration + taken + 1, self._left - (taken + 1).cpu()
        self._used = float((taken + 1).to(torch.float32).mean())
        if self._view.stochastic:
            margin, wrong = self._settled(proposal, margin, wrong)
        self._accept(wrong | (margin >= self._margin), proposal, margin)
        self._go_on(wrong)

    def _at_once(self) -> int:
        """How many proposals of an image to ask about: about twice as many as were of use, in a pass of fair size."""
        if self._view.stochastic:
            return 1
        most = min(MOST_AT_ONCE, PIXELS_AT_ONCE // self._best.numel())
        return max(1, min(most, round(2 * self._used)))

    def _proposals(self, iterations: Tensor) -> Tensor:
        """The best images (n, C, H, W) with one square changed, (n, k, C, H, W) for (n, k) iterations."""
        numbers = self._numbers_of(iterations)
        sides = self._sides[iterations]
        down = self._inside(numbers[..., 0], sides, self._best.shape[2])
        right = self._inside(numbers[..., 1], sides, self._best.shape[3])
        inside = (down[..., :, None] & right[..., None, :])[:, :, None]
        positive = (numbers[..., 2:] > 0.5)[..., None, None]
        upper, lower, best = self._upper[:, None], self._lower[:, None], self._best[:, None]
        fresh = torch.where(positive, upper, lower)
        idle = ((fresh == best) | ~inside).flatten(2).all(dim=2)[..., None, None, None]
        fresh = torch.where(positive ^ idle, upper, lower)
        return torch.where(inside, fresh, best)

    @staticmethod
    def _inside(numbers: Tensor, sides: Tensor, length: int) -> Tensor:
        """(n, k, length) bool: which rows, or columns, a square of some side covers."""
        room = length - sides
        first = torch.minimum((numbers * (room + 1)).long(), room)[..., None]
        place = torch.arange(length, device=numbers.device)
        return (place >= first) & (place < first + sides[..., None])

    def _numbers_of(self, iterations: Tensor) -> Tensor:
        """(n, k, 2 + C) uniform numbers: place of the square and a sign per channel."""
        while int(iterations.max()) - self._first_number >= self._numbers.shape[1]:
            drawn = self._draw.take(self.rows).uniform((BLOCK, self._numbers.shape[2]))
            self._numbers = torch.cat([self._numbers, drawn], dim=1)
        while int(iterations.min()) - self._first_number >= BLOCK:
            self._numbers, self._first_number = self._numbers[:, BLOCK:], self._first_number + BLOCK
        image = torch.arange(len(iterations), device=iterations.device)[:, None]
        return self._numbers[image, iterations - self._first_number]

    def _accept(self, accepted: Tensor, proposal: Tensor, margin: Tensor) -> None:
        self._best = choose(accepted, proposal, self._best)
        self._margin = torch.where(accepted, margin, self._margin)

    def _go_on(self, wrong: Tensor) -> None:
        """Drop images that are misclassified, have no query left, or no proposal."""
        self.keep(~wrong.cpu() & (self._left > 0) & (self._iteration < len(self._sides)).cpu())

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
