"""What a hospital sees of a deployed defense."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ABSTAINED = -1
"""Label of an image on which the defense declines to decide."""


@dataclass(frozen=True)
class Decision:
    """The deployed output for a batch of N images.

    Attributes:
        probs: (N, K) float32, rows sum to 1.
        label: (N,) int64 in 0..K-1, or :data:`ABSTAINED`.
        score: (N,) float32 acceptance score of a detector (higher = accepted more readily), of a vote its lead, see
            :class:`~benchmark.defense.stages.vote.BinomialVote`; None without either.
        copies: (N,) int64 random copies that a vote took of each image, or None without a vote.
    """

    probs: Tensor
    label: Tensor
    score: Tensor | None = None
    copies: Tensor | None = None

    @property
    def abstained(self) -> Tensor:
        """(N,) bool."""
        return self.label == ABSTAINED

    @property
    def accepted(self) -> Tensor:
        """(N,) bool: decided on, whatever the decision; what a rejection is worth is the task's to say."""
        return ~self.abstained

    @staticmethod
    def cat(parts: Sequence["Decision"]) -> "Decision":
        """Join the decisions of consecutive batches."""
        scores = [part.score for part in parts if part.score is not None]
        copies = [part.copies for part in parts if part.copies is not None]
        return Decision(
            probs=torch.cat([part.probs for part in parts]),
            label=torch.cat([part.label for part in parts]),
            score=torch.cat(scores) if scores else None,
            copies=torch.cat(copies) if copies else None,
        )
