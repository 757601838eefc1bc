"""The judge: a fresh copy of the deployed defense, which sees images and never labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.defense import Decision
from benchmark.defense.target import Target
from benchmark.randomness import Randomness, content_seed
from benchmark.task import Classification


@dataclass(frozen=True)
class Judgement:
    """What the deployed defense decided on N images, put beside the labels afterwards.

    Attributes:
        first: the decision of the first draw.
        right_draws: (N,) int64, draws in which the deployed label was the true one.
        draws: number of draws; 1 for a deterministic defense.
    """

    first: Decision
    right_draws: Tensor
    draws: int

    @property
    def right(self) -> Tensor:
        """(N,) bool: right in at least half of the draws."""
        return self.right_draws * 2 >= self.draws


class Judge:
    """Puts images to the deployed defense, repeatedly where it is random.

    Args:
        defense: one that no attack has touched, in a host of its own.
        task: says what a right decision is.
        draws: repetitions for a stochastic defense.
        device: where the defense runs.
    """

    def __init__(self, defense: Target, task: Classification, draws: int, device: torch.device) -> None:
        self._defense = defense
        self._task = task
        self._device = device
        self.draws = draws if defense.stochastic else 1

    def judge(self, images: Tensor, labels: Tensor, purpose: Sequence[Sequence[object]]) -> Judgement:
        """Decide, then compare.

        Args:
            images: (N, C, H, W) float32 in [0, 1].
            labels: (N,) int64; used after the defense has decided.
            purpose: per image what its randomness derives from (data set, sample, cell ...).

        Raises:
            RuntimeError: the defense's answer has the wrong shape or is not finite; such images have no verdict.
        """
        decisions = [self._decide(images, purpose, draw) for draw in range(self.draws)]
        right = torch.stack([self._task.right(decision, labels) for decision in decisions]).sum(dim=0)
        return Judgement(decisions[0], right, self.draws)

    def _decide(self, images: Tensor, purpose: Sequence[Sequence[object]], draw: int) -> Decision:
        seeds = (content_seed("judge", *parts, draw) for parts in purpose)
        decision = self._defense.predict(images, Randomness(seeds, self._device))
        _refuse_no_answer(decision, len(images), self._task.num_classes)
        return decision


def _refuse_no_answer(decision: Decision, count: int, classes: int) -> None:
    """Raise where the defense has not answered: the largest of no numbers is the first class, and might be right."""
    if tuple(decision.probs.shape) != (count, classes) or tuple(decision.label.shape) != (count,):
        raise RuntimeError(
            f"predict returned probabilities {tuple(decision.probs.shape)} and labels {tuple(decision.label.shape)} "
            f"for {count} images of {classes} classes"
        )
    broken = int((~torch.isfinite(decision.probs)).any(dim=1).sum())
    if broken:
        raise RuntimeError(f"predict returned probabilities that are not finite for {broken} of {count} images")
