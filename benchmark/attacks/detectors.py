"""Attacks that know the detector: be wrong and be accepted (Medical Aegis, WB and WB_d)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.ascent import check_at_least_one, check_positive
from benchmark.attacks.base import all_rows
from benchmark.attacks.follow import follow, opened, step_sizes
from benchmark.attacks.norms import random_start
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal

DECAY = 0.1
"""Factor of the step size from the decay on (Medical Aegis, WB_d)."""


@dataclass(frozen=True)
class DetectorAware:
    """WB of Medical Aegis: raise the detector's acceptance score S and the margin of a wrong class together.

    The paper minimises J = S + J_CW as printed, which would lower the score of what it wants accepted; read here as
    J = -S - min(max_{k != y} z_k - z_y, kappa). From a uniform random start. Kept is, of the iterates that fool the
    classifier, the one of the lowest J. Kappa and step size are unstated.

    Costs 2 (``steps`` + 1) gradients and forward passes per image (times EOT samples): score and logits are passes of
    their own.

    Args:
        steps: number of steps (Medical Aegis: 100).
        alpha_255: step size in 1/255; None takes a tenth of the radius.
        kappa: margin beyond which only the score gains.
        decay_after: step after which the step size is a tenth, which fewer steps never reach; None for never.

    Raises:
        BenchError: a parameter is out of range; when called, the view does not open the defense, or it has no detector.
    """

    steps: int = 100
    alpha_255: float | None = None
    kappa: float = 5.0
    decay_after: int | None = None
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("wb", steps=self.steps)
        check_positive("wb", alpha_255=self.alpha_255)
        if self.kappa < 0:
            raise BenchError(f"wb: kappa is {self.kappa}; give 0 or more.")
        if self.decay_after is not None and self.decay_after < 0:
            raise BenchError(f"wb: decay_after is {self.decay_after}; give 0 or more.")

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        inside, rows = opened("wb", view), all_rows(images)
        if len(images) == 0:
            return images.clone()
        alphas = step_sizes(self.steps, self.alpha_255, eps_255)
        if self.decay_after is not None:
            alphas = [alpha * (DECAY if step >= self.decay_after else 1) for step, alpha in enumerate(alphas)]

        def accepted_and_wrong(score: Tensor, logits: Tensor) -> Tensor:
            return score + goal.margin(logits).clamp(max=self.kappa)

        kept, _, _ = follow(
            lambda iterate: inside.evaluate_score(iterate, accepted_and_wrong, rows),
            goal.lost,
            random_start(images, self.norm, eps_255, draw),
            images,
            eps_255,
            alphas,
            stochastic=view.stochastic,
        )
        return kept


@dataclass(frozen=True)
class DetectorAwareDecayed(DetectorAware):
    """WB_d of Medical Aegis: WB whose step size is a tenth after step 50."""

    decay_after: int | None = 50
