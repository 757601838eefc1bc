"""A long vote's answer foretold from few copies: what a query attacker of the benchmark is answered with."""

from dataclasses import replace

import torch
from torch import Tensor

from benchmark.defense.decision import Decision
from benchmark.defense.stages.vote import BinomialVote


class ForeseenVote:
    """Few copies in place of a long vote's, to answer thousands of questions with.

    Its copies and early looks are the long vote's first ones: where that is settled by then, this is its answer. What
    is not settled after ``copies`` gets the label that the long vote would give if its further copies fell as these
    did (:meth:`BinomialVote.foreseen`): the shares are right on average, with the noise of fewer copies.

    Args:
        vote: the long vote.
        copies: most copies per image, fewer than the long vote's.

    Raises:
        ValueError: not fewer than the long vote's, or fewer than 2.
    """

    def __init__(self, vote: BinomialVote, copies: int) -> None:
        if not 2 <= copies < vote.copies:
            raise ValueError(f"a foreseen vote takes from 2 to {vote.copies - 1} copies here, not {copies}")
        self._vote = vote
        self.copies = copies
        self.looks = (*(look for look in vote.looks if look < copies), copies)

    def settled(self, votes: Tensor) -> Tensor:
        """Whether no further copy is needed, (N,) bool; as in :class:`BinomialVote`."""
        return self._early(votes) | (votes.sum(dim=1) >= self.copies)

    def decide(self, votes: Tensor) -> Decision:
        """Decide from votes per class (N, K) int64; as in :class:`BinomialVote`."""
        decision = self._vote.decide(votes)
        return replace(decision, label=torch.where(self._early(votes), decision.label, self._vote.foreseen(votes)))

    def _early(self, votes: Tensor) -> Tensor:
        """Whether the long vote was asked and is settled, (N,) bool."""
        asked = torch.isin(votes.sum(dim=1), torch.tensor(self._vote.looks, device=votes.device))
        return asked & self._vote.settled(votes)
