"""What every attack is, and the geometry they share."""

from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from benchmark.access import GradientView, ScoreView
from benchmark.randomness import Randomness
from benchmark.task import Classification


class GradientAttack(Protocol):
    """An attack that follows gradients."""

    knowledge: ClassVar[Literal["gradient"]]

    def __call__(
        self,
        view: GradientView,
        task: Classification,
        images: Tensor,
        labels: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Return candidates (N, C, H, W) float32 inside the ball and [0, 1].

        Args:
            view: made for exactly these N images.
            task: supplies losses and what "fooled" means.
            images: (N, C, H, W) float32 in [0, 1].
            labels: (N,) int64 true classes.
            eps_255: radius of the norm ball, in units of 1/255.
            draw: the attack's own randomness, one stream per image.
        """
        ...


class ScoreAttack(Protocol):
    """An attack that asks queries; arguments as in :class:`GradientAttack`."""

    knowledge: ClassVar[Literal["scores"]]

    def __call__(
        self,
        view: ScoreView,
        task: Classification,
        images: Tensor,
        labels: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Return candidates (N, C, H, W) float32 inside the ball and [0, 1]."""
        ...


Attack = GradientAttack | ScoreAttack


def project_linf(candidates: Tensor, images: Tensor, eps: float) -> Tensor:
    """Project onto the L-inf ball of radius ``eps`` (in [0, 1]) around ``images`` and onto [0, 1]."""
    return torch.minimum(torch.maximum(candidates, images - eps), images + eps).clamp(0, 1)


def all_rows(images: Tensor) -> Tensor:
    """(N,) places of all images of a batch, as views want them."""
    return torch.arange(len(images))


def choose(mask: Tensor, chosen: Tensor, otherwise: Tensor) -> Tensor:
    """Per image: ``chosen`` where ``mask`` (N,) holds, else ``otherwise``; both (N, ...)."""
    return torch.where(mask.reshape(-1, *[1] * (chosen.dim() - 1)), chosen, otherwise)


def ascent_signs(gradient: Tensor) -> Tensor:
    """Sign of a gradient, the steepest ascent in L-inf; a component that is not a number asks for no step."""
    return gradient.nan_to_num(nan=0.0).sign()
