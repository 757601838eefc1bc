"""The judge: a fresh copy of the deployed defense, which sees images and never labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.defense import Decision
from benchmark.defense.target import Target
from benchmark.randomness import Randomness, content_seed
from benchmark.streams import Streams
from benchmark.task.goal import Task
from benchmark.task.kinds import robust

ROUNDING = 1e-3
"""How far arithmetic of another batch may move a probability."""


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
        streams: what its random numbers come from.
    """

    def __init__(
        self, defense: Target, task: Task, draws: int, device: torch.device, streams: Streams = "mersenne"
    ) -> None:
        self._defense = defense
        self._task = task
        self._device = device
        self._streams = streams
        self.draws = draws if defense.stochastic else 1

    def judge(
        self,
        images: Tensor,
        labels: Tensor,
        purpose: Sequence[Sequence[object]],
        again: bool = True,
        fresh: bool = True,
    ) -> Judgement:
        """Decide, then compare.

        Args:
            images: (N, C, H, W) float32 in [0, 1].
            labels: (N,) int64; used after the defense has decided.
            purpose: per image what its randomness derives from (data set, sample, cell ...).
            again: whether a deterministic defense is asked a second time, in other batches.
            fresh: whether the defense's process must not have been asked before; a memory could serve it again.

        Raises:
            RuntimeError: the defense's answer has the wrong shape, is not finite, or is another one when the images
                come in another batch; such images have no verdict.
        """
        if fresh:
            self._defense.renew()
        decisions = [self._decide(images, purpose, draw) for draw in range(self.draws)]
        if again and not self._defense.stochastic:
            self._ask_again(images, purpose, decisions[0])
        scores = torch.stack([self._task.score(decision, labels) for decision in decisions])
        return Judgement(decisions[0], scores, self.draws)

    def _ask_again(self, images: Tensor, purpose: Sequence[Sequence[object]], first: Decision) -> None:
        """Ask in smaller batches of another order: an answer that depends on them is that of no image.

        Rounding may tip single images of a defense that rounds inside, never most of them.
        """
        # Not by whom has just been asked: what it remembers could be the first answer.
        self._defense.renew()
        order = list(range(len(images)))[::-1]
        parts = [order[: len(order) // 3], order[len(order) // 3 :]]
        changed = 0
        for part in filter(None, parts):
            said = self._decide(images[part], [purpose[place] for place in part], 0)
            moved = (said.probs - first.probs[part]).abs().amax(dim=1) > ROUNDING
            changed += int((moved & (said.label != first.label[part])).sum())
        if changed > max(1, len(images) // 4):
            raise RuntimeError(
                f"the defense decides otherwise on {changed} of {len(images)} images when they come in another batch"
            )

    def _decide(self, images: Tensor, purpose: Sequence[Sequence[object]], draw: int) -> Decision:
        seeds = (content_seed("judge", *parts, draw) for parts in purpose)
        decision = self._defense.predict(images, Randomness(seeds, self._device, streams=self._streams))
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
