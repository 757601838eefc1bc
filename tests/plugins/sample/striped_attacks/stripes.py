"""An attack that adds stripes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.base import project_linf
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal

from .patterns import stripes


@dataclass(frozen=True)
class Stripes:
    """Adds stripes or takes them away, whichever leaves the higher margin.

    Args:
        width: of a stripe, in pixels.
    """

    width: int = 2
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "linf"

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        step, rows = eps_255 / 255 * stripes(images, self.width), torch.arange(len(images))
        more, less = (project_linf(images + sign * step, images, eps_255 / 255) for sign in (1, -1))
        gain = [goal.margin(view.logits(points, rows)) for points in (more, less)]
        return torch.where((gain[0] > gain[1]).reshape(-1, 1, 1, 1), more, less)
