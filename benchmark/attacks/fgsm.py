"""Fast gradient sign method."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.base import all_rows, ascent_signs, project_linf
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal


@dataclass(frozen=True)
class Fgsm:
    """One step of the full radius along the sign of the cross-entropy's gradient (Goodfellow et al. 2015).

    No random start, as in the survey's code. Costs one forward pass and one gradient per image (times EOT samples).
    """

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
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says; ``draw`` is not used."""
        del draw
        if len(images) == 0:
            return images.clone()
        eps = eps_255 / 255
        look = view.evaluate(images, goal.objective("cross_entropy"), all_rows(images))
        return project_linf(images + eps * ascent_signs(look.gradient), images, eps)
