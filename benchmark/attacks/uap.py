"""Universal adversarial perturbation: one perturbation for all images (Moosavi-Dezfooli et al. 2017)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import TrainingView
from benchmark.attacks.base import ascent_signs, project_linf
from benchmark.attacks.pgd import check_at_least_one
from benchmark.errors import BenchError, did_you_mean
from benchmark.randomness import Randomness
from benchmark.task.classification import ClassGoal, of_classes
from benchmark.task.goal import Task

LOSSES = ("cross_entropy", "margin")
TARGETS = ("none", "class")
NO_TARGET = -1
EVALUATION_BATCH = 256
FIRST_STEP = 0.5


@dataclass(frozen=True)
class Uap:
    """One L-inf perturbation for every image, ascended on training images by batches.

    The paper adds up DeepFool steps image by image until enough images are fooled. Here, as in Shafahi et al. 2020
    (Universal Adversarial Training), signed gradient steps on a batch's mean loss move the perturbation
    inside the ball; the loss of each image is clamped from above, so that one image cannot outweigh the rest. The step
    falls from half the radius to nothing as a cosine.

    Kept is the perturbation of the epoch after which the fewest training images are right (the higher mean margin where
    equal). No perturbation at all is the first candidate, so that the result is never worse than that.

    A fit costs, per target, at most ``images`` x ``epochs`` backward and twice as many forward passes.

    Args:
        images: training images used at most, drawn at random.
        epochs: passes through them.
        batch_size: images per step.
        target: "none" raises the loss of the true class; "class" takes each class in turn as the target of all other
            images (Hirano et al. 2021) and keeps the perturbation that leaves the fewest training images right.
        loss: "cross_entropy" or "margin", of the true class, or negated of the target.
        clamp: value beyond which an image's loss gains nothing (9 in Shafahi et al.).

    Raises:
        BenchError: a parameter is out of range.
    """

    images: int = 512
    epochs: int = 10
    batch_size: int = 32
    target: str = "none"
    loss: str = "cross_entropy"
    clamp: float = 9.0
    knowledge: ClassVar[Literal["training"]] = "training"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("uap", images=self.images, epochs=self.epochs, batch_size=self.batch_size)
        for name, value, known in (("loss", self.loss, LOSSES), ("target", self.target, TARGETS)):
            if value not in known:
                raise BenchError(f"uap: unknown {name} '{value}'.{did_you_mean(value, known)}")
        if not self.clamp > 0:
            raise BenchError(f"uap: clamp is {self.clamp}; give more than 0.")

    def fit(self, view: TrainingView, task: Task, eps_255: float, draw: Randomness) -> dict[str, Tensor]:
        """Fit as :class:`benchmark.attacks.base.FittedAttack` says.

        Returns:
            ``delta`` (C, H, W) float32 in [-eps, eps], and ``target`` () int64: the class that it drives to, -1 for
            none.
        """
        order = draw.uniform((len(view.images),)).reshape(-1).argsort()
        chosen = order[: self.images].to(view.images.device)
        search = _Search(
            self, view, of_classes("uap", task.goal(view.labels[chosen])), view.images[chosen], eps_255 / 255
        )
        targets = list(range(view.num_classes)) if self.target == "class" else [NO_TARGET]
        best = search.scored(torch.zeros_like(view.images[0]), NO_TARGET)
        for target in targets:
            for candidate in search.epochs(target, draw.fork("target", target)):
                best = max(best, candidate, key=lambda one: (-one.right, one.margin))
        return {"delta": best.delta, "target": torch.tensor(best.target)}

    def apply(self, state: dict[str, Tensor], images: Tensor, eps_255: float) -> Tensor:
        """Apply as :class:`benchmark.attacks.base.FittedAttack` says."""
        delta = state["delta"].to(images.device)
        if delta.shape != images.shape[1:]:
            raise BenchError(
                f"uap: the perturbation was fitted on images of shape {tuple(delta.shape)}, not "
                f"{tuple(images.shape[1:])}; fit it on images of that shape."
            )
        return project_linf(images + delta, images, eps_255 / 255)


@dataclass(frozen=True)
class _Candidate:
    """A perturbation, how many training images stay right under it, and their mean clamped margin."""

    delta: Tensor
    target: int
    right: int
    margin: float


@dataclass(frozen=True)
class _Search:
    """The ascent on chosen training images; ``eps`` in [0, 1]."""

    attack: Uap
    view: TrainingView
    goal: ClassGoal
    images: Tensor
    eps: float

    def epochs(self, target: int, draw: Randomness) -> Iterator[_Candidate]:
        """Ascend from no perturbation; yields the perturbation after each epoch."""
        places = (self.goal.labels != target).nonzero().squeeze(1)
        if len(places) == 0:
            return
        delta = torch.zeros_like(self.images[0])
        batches = -(-len(places) // self.attack.batch_size)
        for epoch in range(self.attack.epochs):
            shuffled = places[draw.uniform((len(places),)).reshape(-1).argsort()]
            for number, batch in enumerate(torch.split(shuffled, self.attack.batch_size)):
                done = (epoch * batches + number) / (self.attack.epochs * batches)
                step = FIRST_STEP * self.eps * (1 + math.cos(math.pi * done)) / 2
                delta = (delta + step * ascent_signs(self._gradient(delta, batch, target))).clamp(-self.eps, self.eps)
            yield self.scored(delta, target)

    def _gradient(self, delta: Tensor, batch: Tensor, target: int) -> Tensor:
        with torch.enable_grad():
            leaf = delta.clone().requires_grad_(True)
            logits = self.view.differentiable((self.images[batch] + leaf).clamp(0, 1))
            gain = self._gain(logits, self.goal.take(batch), target).clamp(max=self.attack.clamp)
            (gradient,) = torch.autograd.grad(gain.mean(), leaf)
        return gradient

    def _gain(self, logits: Tensor, goal: ClassGoal, target: int) -> Tensor:
        if target == NO_TARGET:
            return goal.objective(self.attack.loss)(logits)
        return -goal.instead(torch.full_like(goal.labels, target)).objective(self.attack.loss)(logits)

    @torch.no_grad()
    def scored(self, delta: Tensor, target: int) -> _Candidate:
        """Count what stays right under a perturbation."""
        right, margin = 0, 0.0
        for start in range(0, len(self.images), EVALUATION_BATCH):
            images = self.images[start : start + EVALUATION_BATCH]
            goal = self.goal.take(torch.arange(start, start + len(images)))
            logits = self.view.differentiable((images + delta).clamp(0, 1))
            right += int((~goal.lost(logits)).sum())
            margin += float(goal.margin(logits).clamp(max=self.attack.clamp).sum())
        return _Candidate(delta, target, right, margin / len(self.images))
