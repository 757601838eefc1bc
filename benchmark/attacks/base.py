"""What every attack is, and the geometry they share."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from benchmark.access import AnswersView, GradientView, LabelView, ScoreView, TrainingView
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal, Task

Inside = Literal["gradient", "features", "references"]
"""What is differentiated: the decision; features of inner layers too; and those of training images to imitate."""


class GradientAttack(Protocol):
    """An attack that follows gradients."""

    knowledge: ClassVar[Inside]
    norm: ClassVar[str]

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Return candidates (N, C, H, W) float32 inside the ball and [0, 1].

        Args:
            view: made for exactly these N images.
            goal: of these images: what to ascend, and when an image is lost. It holds their targets.
            images: (N, C, H, W) float32 in [0, 1].
            eps_255: budget in the unit of the attack's norm, see :mod:`benchmark.attacks.norms`.
            draw: the attack's own randomness, one stream per image.
        """
        ...


class ScoreAttack(Protocol):
    """An attack that asks queries; arguments as in :class:`GradientAttack`."""

    knowledge: ClassVar[Literal["scores"]]
    norm: ClassVar[str]

    def __call__(
        self,
        view: ScoreView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Return candidates (N, C, H, W) float32 inside the ball and [0, 1]."""
        ...


class LabelAttack(Protocol):
    """An attack that sees nothing but the deployed label; arguments as in :class:`GradientAttack`."""

    knowledge: ClassVar[Literal["labels"]]

    def __call__(
        self,
        view: LabelView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Return candidates (N, C, H, W) float32 inside the ball and [0, 1]."""
        ...


class FittedAttack(Protocol):
    """An attack whose work is done on training images: fitted once, then applied to any image without a look at it.

    :meth:`apply` holds neither view nor labels, so that nothing of the target can reach it at attack time.
    """

    knowledge: ClassVar[Literal["training"]]
    norm: ClassVar[str]

    def fit(self, view: TrainingView, task: Task, eps_255: float, draw: Randomness) -> dict[str, Tensor]:
        """Fit on the view's training images and return a state that can be stored as safetensors.

        Args:
            view: training images, labels and training-time gradients.
            task: makes the goals for these images from their labels.
            eps_255: budget in the unit of the attack's norm, see :mod:`benchmark.attacks.norms`.
            draw: ONE stream; its seed says which fit this is.

        Raises:
            BenchError: the training images do not serve this attack.
        """
        ...

    def apply(self, state: dict[str, Tensor], images: Tensor, eps_255: float) -> Tensor:
        """Return candidates (N, C, H, W) float32 inside the ball and [0, 1]; deterministic, image by image.

        Args:
            state: what :meth:`fit` returned for this radius.
            images: (N, C, H, W) float32 in [0, 1], of the training images' shape.
            eps_255: budget in the unit of the attack's norm, see :mod:`benchmark.attacks.norms`.

        Raises:
            BenchError: the state does not fit the images.
        """
        ...


class CopyingAttack(Protocol):
    """An attack that learns the deployed system's answers once, and asks it about the images under attack too."""

    knowledge: ClassVar[Literal["answers"]]
    norm: ClassVar[str]

    def fit(self, view: AnswersView, task: Task, draw: Randomness) -> dict[str, Tensor]:
        """Learn, for every radius, and return a state that can be stored as safetensors.

        Args:
            view: training images, and the system's answers on any image.
            task: makes goals of classes.
            draw: ONE stream; its seed says which fit this is.
        """
        ...

    def apply(
        self,
        state: Mapping[str, Tensor],
        view: LabelView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Return candidates (N, C, H, W) float32 inside the ball and [0, 1].

        Args:
            state: what :meth:`fit` returned.
            view: labels of the system, for exactly these N images.
            goal, images, eps_255, draw: as in :class:`GradientAttack`.
        """
        ...


Attack = GradientAttack | ScoreAttack | LabelAttack | FittedAttack | CopyingAttack


def project_linf(candidates: Tensor, images: Tensor, eps: float | Tensor) -> Tensor:
    """Project onto the L-inf ball of radius ``eps`` (in [0, 1]) around ``images`` and onto [0, 1].

    A tensor (N, 1, 1, 1) gives each image a radius of its own.
    """
    return torch.minimum(torch.maximum(candidates, images - eps), images + eps).clamp(0, 1)


def all_rows(images: Tensor) -> Tensor:
    """(N,) places of all images of a batch, as views want them."""
    return torch.arange(len(images))


def no_value(images: Tensor) -> Tensor:
    """(N,) minus infinity: the best value of each image before anything was seen."""
    return images.new_full((len(images),), -torch.inf)


def none_yet(images: Tensor) -> Tensor:
    """(N,) bool, false for each image."""
    return torch.zeros(len(images), dtype=torch.bool, device=images.device)


def choose(mask: Tensor, chosen: Tensor, otherwise: Tensor) -> Tensor:
    """Per image: ``chosen`` where ``mask`` (N,) holds, else ``otherwise``; both (N, ...)."""
    return torch.where(mask.reshape(-1, *[1] * (chosen.dim() - 1)), chosen, otherwise)


def ascent_signs(gradient: Tensor) -> Tensor:
    """Sign of a gradient, the steepest ascent in L-inf; a component that is not a number asks for no step."""
    return gradient.nan_to_num(nan=0.0).sign()
