"""The judge: a fresh copy of the deployed defense, which sees images and never labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.defense import Decision
from benchmark.defense.target import Target
from benchmark.randomness import Randomness, content_seed
from benchmark.task.goal import Task
from benchmark.task.kinds import robust


@dataclass(frozen=True)
class Judgement:
    """What the deployed defense decided on N images, put beside the labels afterwards.

    Attributes:
        first: the decision of the first draw.
        scores: (draws, N) float32 in [0, 1], the task's score of each decision.
        draws: number of draws; 1 for a deterministic defense.
    """

    first: Decision
    scores: Tensor
    draws: int

    @property
    def right_draws(self) -> Tensor:
        """(N,) int64: draws in which the deployed system was right."""
        return self.scores.ge(0.5).sum(dim=0)

    @property
    def right(self) -> Tensor:
        """(N,) bool: the image is not broken."""
        right: Tensor = robust(self.scores.sum(dim=0), self.draws)
        return right


class Judge:
    """Puts images to the deployed defense, repeatedly where it is random.

    Args:
        defense: one that no attack has touched, in a host of its own.
        task: says what a decision is worth.
        draws: repetitions for a stochastic defense.
        device: where the defense runs.
    """

    def __init__(self, defense: Target, task: Task, draws: int, device: torch.device) -> None:
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
        scores = torch.stack([self._task.score(decision, labels) for decision in decisions])
        return Judgement(decisions[0], scores, self.draws)

    def _decide(self, images: Tensor, purpose: Sequence[Sequence[object]], draw: int) -> Decision:
        seeds = (content_seed("judge", *parts, draw) for parts in purpose)
        decision = self._defense.predict(images, Randomness(seeds, self._device))
        _refuse_no_answer(decision, len(images), self._task.outputs)
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
