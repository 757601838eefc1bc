"""What query attacks share: each image's purse of queries, and successes that are no luck."""

import torch
from torch import Tensor

from benchmark.access import LabelView, ScoreView
from benchmark.task.goal import Goal

FRESH_LOOKS = 4
"""Looks that replace the first one of a promising proposal to a stochastic system."""

CONFIRMATIONS = 16
"""Further looks that must confirm a success against a stochastic system."""

CLEAR_MAJORITY = 0.75
"""Share of them that must be wrong: at a bare half, the judge's draws would decide by a coin's toss."""


class Purse:
    """Puts an attack's questions to a view and never spends more than an image has.

    Args:
        view: made for exactly these N images.
        goal: of these images.
        queries: most queries per image; less where the view has fewer left.
    """

    def __init__(self, view: LabelView | ScoreView, goal: Goal, queries: int) -> None:
        self._view, self._goal = view, goal
        self.stochastic = view.stochastic
        self.left = view.remaining(torch.arange(len(goal))).clamp(max=queries)
        """(N,) int64 on the CPU: what each image may still ask."""

    def pay(self, rows: Tensor) -> None:
        """Take one query from each of ``rows`` (n,); a row may occur several times."""
        self.left -= torch.bincount(rows, minlength=len(self.left))

    def wrong(self, points: Tensor, rows: Tensor) -> Tensor:
        """(n,) bool: one look each at points (n, C, H, W) of the images ``rows``; an abstention is wrong."""
        self.pay(rows)
        answer = self._view.query(points, rows)
        label = answer if isinstance(answer, Tensor) else answer[1]
        return self._goal.take(rows).missed(label)

    def holds(self, points: Tensor, rows: Tensor, wrong: Tensor, final: Tensor) -> Tensor:
        """(n,) bool: whether what one look found wrong is so on average.

        Against a deterministic system it is. Against a stochastic one the luckiest of thousands of looks would win:
        most of 4 fresh looks must be wrong, and where a success would be ``final`` three quarters of 16 further ones.
        Where the queries run out, those that were asked decide.

        Args:
            points: (n, C, H, W).
            rows: (n,) int64 on the CPU, each image once.
            wrong: (n,) bool, what the first look said.
            final: (n,) bool, whether the image would be done.
        """
        if not self.stochastic:
            return wrong
        usually = self._share_wrong(points, rows, wrong, FRESH_LOOKS) > 0.5
        surely = self._share_wrong(points, rows, usually & final, CONFIRMATIONS) >= CLEAR_MAJORITY
        return torch.where(final, usually & surely, usually)

    def _share_wrong(self, points: Tensor, rows: Tensor, chosen: Tensor, looks: int) -> Tensor:
        """Share of wrong answers in fresh looks at the chosen; 1 without a query left, 0 where not chosen."""
        seen, faults = (torch.zeros(len(rows), device=points.device) for _ in range(2))
        for _ in range(looks):
            asked = (chosen.cpu() & (self.left[rows] > 0)).nonzero().squeeze(1)
            if len(asked) == 0:
                break
            here = asked.to(points.device)
            faults[here] += self.wrong(points[here], rows[asked]).to(faults.dtype)
            seen[here] += 1
        return torch.where(seen > 0, faults / seen.clamp_min(1), chosen.to(faults.dtype))


class ScorePurse(Purse):
    """A purse whose questions are answered with scores; arguments as in :class:`Purse`."""

    def __init__(self, view: ScoreView, goal: Goal, queries: int) -> None:
        super().__init__(view, goal, queries)
        self._scores = view

    def margins(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """One look each at (n, C, H, W); rows may repeat. Returns margins (n,) and wrong labels (n,) bool."""
        self.pay(rows)
        scores, label = self._scores.query(points, rows)
        goal = self._goal.take(rows)
        return goal.margin(scores), goal.missed(label)


def first_broken(purse: Purse, points: Tensor, rows: Tensor, wrong: Tensor) -> tuple[Tensor, Tensor]:
    """The first of several points per image that was seen wrong, and whether that holds.

    Args:
        purse: pays for the confirmation.
        points: (n, k, C, H, W), all inside ball and box.
        rows: (n,) int64 on the CPU.
        wrong: (n, k) bool.

    Returns:
        Misclassified (n,) bool and the points (n, C, H, W).
    """
    first = wrong.to(torch.uint8).argmax(dim=1)
    chosen = points[torch.arange(len(points), device=points.device), first]
    broken = wrong.any(dim=1)
    return purse.holds(chosen, rows, broken, torch.ones_like(broken)), chosen


def still_right(purse: Purse, images: Tensor) -> Tensor:
    """Ask about the images themselves; returns places (n,) of those with a right label and queries left."""
    rows = (purse.left > 0).nonzero().squeeze(1)
    points = images[rows.to(images.device)]
    first = purse.wrong(points, rows)
    broken = purse.holds(points, rows, first, torch.ones_like(first))
    return rows[~broken.cpu() & (purse.left[rows] > 0)]
