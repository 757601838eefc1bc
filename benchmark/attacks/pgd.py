"""Projected gradient ascent with a fixed step: PGD in L-inf and L2, I-FGSM, and the survey's CW in L-inf."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.ascent import Ascent, check_positive, plain
from benchmark.attacks.ascent import check_at_least_one as check_at_least_one
from benchmark.errors import BenchError, did_you_mean
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal, Objective

PGD_ALPHA_255 = {1.0: 0.5, 2.0: 0.5, 4.0: 1.0, 8.0: 2.0}
"""Step in 1/255 for each radius in 1/255 (survey, attack table)."""

CW_ALPHA_255 = {1.0: 0.0015 * 255, 2.0: 0.0015 * 255, 4.0: 0.003 * 255, 8.0: 0.003 * 255}
"""The survey's steps .0015, .0015, .003, .003 on [0, 1], in 1/255."""


@dataclass(frozen=True)
class Pgd:
    """Projected gradient descent from a uniform random start (Madry et al. 2018).

    Returned is, per image, the latest iterate that fools the view, else the one of highest loss, the start and the last
    iterate included: never weaker than returning the last one. It does not stop at the boundary, because the system
    that judges may be a defended one, to which later and more confident iterates transfer better.

    Each start costs ``steps`` gradients and ``steps`` + 1 forward passes per image (times EOT samples).

    Args:
        steps: number of steps.
        alpha_255: step size in 1/255; None takes the survey's table, a quarter of the radius where it has no entry.
        loss: "cross_entropy" or "margin".
        restarts: number of random starts; a further one is spent only on images not yet misclassified.
        random_start: whether to start from a random point of the ball rather than from the image.

    Raises:
        BenchError: a parameter is out of range.
    """

    steps: int = 20
    alpha_255: float | None = None
    loss: str = "cross_entropy"
    restarts: int = 1
    random_start: bool = True
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("pgd", steps=self.steps, restarts=self.restarts)
        check_positive("pgd", alpha_255=self.alpha_255)
        if self.loss not in ("cross_entropy", "margin"):
            raise BenchError(f"pgd: unknown loss '{self.loss}'.{did_you_mean(self.loss, ('cross_entropy', 'margin'))}")
        if self.restarts > 1 and not self.random_start:
            raise BenchError(f"pgd: {self.restarts} restarts without a random start are all the same; give restarts 1.")

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        alpha = self.alpha_255 if self.alpha_255 is not None else self.default_alpha_255(eps_255)

        def aim(goal: Goal) -> Objective:
            return goal.objective(self.loss)

        ascent = Ascent(view, aim, plain(view, aim), self.norm, eps_255, alpha, self.steps, self.random_start)
        return ascent.restarted(images, goal, draw, self.restarts)

    def default_alpha_255(self, eps_255: float) -> float:
        """Step size for a radius, both in the norm's unit."""
        return PGD_ALPHA_255.get(eps_255, eps_255 / 4)


@dataclass(frozen=True)
class Bim(Pgd):
    """I-FGSM, also called BIM (Kurakin et al. 2017): PGD that starts from the image itself.

    Its step is the radius divided by the number of steps, since MedRDF leaves it unstated: every number of steps can
    then reach the face of the ball, and one step is FGSM. Cost, choice of iterate and parameters as :class:`Pgd`.
    """

    steps: int = 7
    random_start: bool = False

    def default_alpha_255(self, eps_255: float) -> float:
        """Step size for a radius."""
        return eps_255 / self.steps


@dataclass(frozen=True)
class PgdL2(Pgd):
    """PGD in L2 (Madry et al. 2018): steps along the normalised gradient, projected onto ball and box together.

    Its step is 2.5 times the radius divided by the number of steps (Madry et al., section 5: enough to reach the far
    side of the ball from any start). Cost, choice of iterate and parameters as :class:`Pgd`, in the L2 unit.
    """

    norm: ClassVar[str] = "l2"

    def default_alpha_255(self, eps_255: float) -> float:
        """Step size for a radius."""
        return 2.5 * eps_255 / self.steps


@dataclass(frozen=True)
class CwLinf:
    """Carlini and Wagner's margin in L-inf, as the survey's code runs it: signed steps from a uniform start.

    Ascends -max(z_y - max_{k != y} z_k + kappa, 0). Cost and choice of iterate as :class:`Pgd`.

    Args:
        steps: number of steps.
        kappa: confidence beyond which a margin gains nothing.
        alpha_255: step size in 1/255; None takes the survey's table, a tenth of the radius where it has no entry.

    Raises:
        BenchError: a parameter is out of range.
    """

    steps: int = 30
    kappa: float = 50.0
    alpha_255: float | None = None
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("cw-linf", steps=self.steps)
        check_positive("cw-linf", alpha_255=self.alpha_255)

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        alpha = self.alpha_255 if self.alpha_255 is not None else CW_ALPHA_255.get(eps_255, eps_255 / 10)

        def aim(goal: Goal) -> Objective:
            return lambda logits: goal.margin(logits).clamp(max=self.kappa)

        ascent = Ascent(view, aim, plain(view, aim), self.norm, eps_255, alpha, self.steps)
        return ascent.restarted(images, goal, draw)
