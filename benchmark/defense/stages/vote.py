"""Majority vote with statistical abstention (MedRDF, Algorithm 1), in full or ended as soon as it is settled."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betainc, betaln
from scipy.stats import binom
from torch import Tensor

from benchmark.defense.decision import ABSTAINED, Decision

FIRST_LOOK = 16
"""Copies before the first look: at MedRDF's level sixteen of sixteen settle a vote between two classes."""

GROWTH = 1.5
"""Each look comes after this many times the copies of the one before."""

_Counts = NDArray[np.int64]


class BinomialVote:
    """Answer with the class most copies get, or abstain when the lead could be chance.

    The full vote (``sequential=False``) tests the lead as MedRDF's equation 5 does: the two-sided p-value of n_A
    successes in n_A + n_B fair tosses must be at most ``alpha``. (Algorithm 1 sizes its counter by n; it needs one
    place per class.) ``score`` is the Robust Metric K (n_A - n_B) / n in [0, K], n being the copies taken: that of the
    vote as it ended. A sequential vote that is unanimous when it ends early scores K, the maximum, whatever the copies
    not taken would have said; the paper's metric, of all n copies, needs the full vote.

    The sequential vote looks after 16, 24, 36, 54 ... copies and ends where the lead is settled; after the last copy it
    applies the exact binomial test, and abstains when that finds no lead. Its copies are the first of the full vote's.

    Guarantee of both: an answer other than A, the class that is most probable under the noise, has probability at most
    ``alpha``. Proof for the sequential vote. Fix a rival B and count only copies that answer A or B: with a of A, b of
    B, each next one is B with probability q <= 1/2. Let l be ``alpha / max(2, K - 1)``, half of it for each test.

    * Early looks: M(b, a) = 2 * integral over p in (1/2, 1] of (2p)^b (2(1-p))^a dp starts at 1, and one more copy
      multiplies the integrand on average by 2 (q p + (1 - q)(1 - p)) <= 1. So M is a nonnegative supermartingale, and
      by Ville's inequality it ever reaches 2/l with probability at most l/2, whenever and however often one looks.
    * Last look: P(Bin(a + b, 1/2) <= a) <= l/2 has probability at most l/2 in the vote of all n copies.
    * An answer B means that B passed a test against the runner-up, who has r >= a votes. M falls and the binomial tail
      rises in the second argument, so B passed against A too: probability at most l.
    * Sum over the K - 1 rivals: at most (K - 1) l <= ``alpha``. For K = 2, l = alpha/2 is the two-sided test's half.

    A vote too short for an early look has nothing to split and is the full one (whose two-sided test on the two leaders
    needs no sum over rivals: Hung & Fithian 2019, "Rank verification for exponential families").

    Args:
        copies: n, the most random copies per image.
        alpha: level of the test, in (0, 1).
        sequential: whether the vote ends where it is settled.

    Raises:
        ValueError: fewer than 2 copies, or a level outside (0, 1).
    """

    def __init__(self, copies: int, alpha: float = 0.001, sequential: bool = True) -> None:
        if copies < 2:
            raise ValueError(f"a vote needs at least 2 copies, not {copies}")
        if not 0 < alpha < 1:
            raise ValueError(f"a vote's alpha must lie between 0 and 1, not {alpha}")
        self.copies = copies
        self.alpha = alpha
        self.looks = _looks(copies) if sequential else (copies,)

    def settled(self, votes: Tensor) -> Tensor:
        """Whether no further copy is needed, (N,) bool, at one of ``looks`` given the votes (N, K) until then."""
        return self._leads(votes) | (votes.sum(dim=1) >= self.copies)

    def decide(self, votes: Tensor) -> Decision:
        """Decide from votes per class (N, K) int64; ``probs`` are their shares. Who is not settled is abstained on."""
        classes = votes.shape[1]
        taken = votes.sum(dim=1)
        top = votes.topk(2, dim=1)
        leader = votes.argmax(dim=1)
        return Decision(
            probs=votes.float() / taken[:, None],
            label=torch.where(self._leads(votes), leader, torch.full_like(leader, ABSTAINED)),
            score=classes * (top.values[:, 0] - top.values[:, 1]).float() / taken,
            copies=taken,
        )

    def _leads(self, votes: Tensor) -> Tensor:
        top = votes.topk(2, dim=1).values
        early, last = (wanted.to(votes.device) for wanted in self._wanted(votes.shape[1]))
        at_end = votes.sum(dim=1) >= self.copies
        return top[:, 0] >= torch.where(at_end, last[top[:, 1]], early[top[:, 1]])

    def _wanted(self, classes: int) -> tuple[Tensor, Tensor]:
        """Votes that a leader needs against a runner-up of 0, 1 ... n votes, at early looks and at the last."""
        if len(self.looks) == 1:
            return wanted_at_the_end(self.copies, self.alpha / 2), wanted_at_the_end(self.copies, self.alpha / 2)
        level = self.alpha / max(2, classes - 1) / 2
        return wanted_early(self.copies, level), wanted_at_the_end(self.copies, level)

    def foreseen(self, votes: Tensor) -> Tensor:
        """Labels (N,) that the vote would give after all its copies, had they the shares of the votes (N, K)."""
        copies = votes * self.copies // votes.sum(dim=1, keepdim=True).clamp_min(1)
        top = copies.topk(2, dim=1)
        wanted = self._wanted(votes.shape[1])[1].to(votes.device)
        leads = top.values[:, 0] >= wanted[top.values[:, 1]]
        return torch.where(leads, votes.argmax(dim=1), torch.full_like(top.indices[:, 0], ABSTAINED))


def _looks(copies: int) -> tuple[int, ...]:
    looks = []
    look = FIRST_LOOK
    while look < copies:
        looks.append(look)
        look = math.ceil(look * GROWTH)
    return (*looks, copies)


@lru_cache
def wanted_at_the_end(copies: int, level: float) -> Tensor:
    """Smallest b with P(Bin(a + b, 1/2) <= a) <= level, for a = 0 ... ``copies``; ``copies + 1`` where out of reach."""
    return _smallest(lambda b, a: binom.cdf(a, a + b, 0.5) <= level, copies)


@lru_cache
def wanted_early(copies: int, level: float) -> Tensor:
    """Smallest b >= a with M(b, a) >= 1 / level, for a = 0 ... ``copies``; ``copies + 1`` where out of reach.

    M(b, a) = 2^(a + b + 1) Beta(b + 1, a + 1) P(Beta(b + 1, a + 1) > 1/2); see :class:`BinomialVote`.
    """

    def passes(b: _Counts, a: _Counts) -> NDArray[np.bool_]:
        log_m = (a + b + 1) * math.log(2) + betaln(b + 1, a + 1) + np.log(betainc(a + 1, b + 1, 0.5))
        enough: NDArray[np.bool_] = log_m >= -math.log(level)
        return enough

    return _smallest(passes, copies)


def _smallest(passes: Callable[[_Counts, _Counts], NDArray[np.bool_]], copies: int) -> Tensor:
    """Bisect for the smallest b in a ... ``copies`` that passes; passing is monotone in b."""
    a = np.arange(copies + 1)
    low, high = a.copy(), np.full_like(a, copies + 1)
    while (low < high).any():
        middle = (low + high) // 2
        enough = (middle <= copies) & passes(middle, a)
        open_still = low < high
        high = np.where(open_still & enough, middle, high)
        low = np.where(open_still & ~enough, middle + 1, low)
    return torch.from_numpy(low)
