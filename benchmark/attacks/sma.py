"""Stabilized Medical Attack (Qi et al., ICLR 2021)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from benchmark.access import GradientView
from benchmark.access.views import Evaluation
from benchmark.attacks.ascent import Ascent, Guide, check_at_least_one, check_positive
from benchmark.attacks.base import none_yet
from benchmark.attacks.momentum import smooth
from benchmark.attacks.pgd import PGD_ALPHA_255
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal, Objective


@dataclass(frozen=True)
class Sma:
    """Ascend the deviation of the prediction from the label, less its deviation from that of the smoothed image.

    The objective is ``cross_entropy(z(x*), y) - stability * KL(p(G x*) || p(x*))``: the first term drives the
    prediction on x* from the label, the second keeps it like the one on the copy G x* smoothed by a Gaussian, and so
    enters with a minus: perturbations that only instance-wise noise would hold up gain nothing. As in the authors'
    code the smoothed copy's prediction is a fixed target, through which no gradient flows. That code smooths the last
    signed step instead of the image and takes its hard label; the paper's abstract says "its smoothed input", which is
    what this does.

    It starts from the image itself; choice of iterate as :class:`benchmark.attacks.pgd.Pgd`. Costs ``steps`` gradients
    and 2 ``steps`` + 1 forward passes per image (times EOT samples).

    Args:
        steps: number of steps, unstated; 20 with one pass more than PGD-20 agrees with the survey's times (its Table 7:
            1.6 to 1.7 of PGD's).
        alpha_255: step size in 1/255; None takes PGD's (survey, attack table).
        stability: weight of the second term, 0 for none. Not stated for classification; at 1 or below a binary task's
            ascent never turns toward the label.
        sigma: standard deviation in pixels of the 3 x 3 Gaussian (authors' code: 1).

    Raises:
        BenchError: a parameter is out of range.
    """

    steps: int = 20
    alpha_255: float | None = None
    stability: float = 1.0
    sigma: float = 1.0
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("sma", steps=self.steps)
        check_positive("sma", alpha_255=self.alpha_255, sigma=self.sigma)
        if not self.stability >= 0:
            raise BenchError(f"sma: stability is {self.stability}; give 0 or more.")

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        alpha = self.alpha_255 if self.alpha_255 is not None else PGD_ALPHA_255.get(eps_255, eps_255 / 4)

        def aim(goal: Goal) -> Objective:
            return goal.objective("cross_entropy")

        def guide(goal: Goal, rows: Tensor, streams: Randomness) -> Guide:
            return lambda iterate: (self._look(view, aim(goal), iterate, rows), ~none_yet(iterate))

        ascent = Ascent(view, aim, guide, "linf", eps_255, alpha, self.steps, random_start=False)
        return ascent.restarted(images, goal, draw)

    def _look(self, view: GradientView, cross_entropy: Objective, iterate: Tensor, rows: Tensor) -> Evaluation:
        smoothed = view.logits(smooth(iterate, 3, self.sigma, border="edge"), rows).log_softmax(dim=1)

        def objective(logits: Tensor) -> Tensor:
            divergence = (smoothed.exp() * (smoothed - logits.log_softmax(dim=1))).sum(dim=1)
            return cross_entropy(logits) - self.stability * divergence

        look = view.evaluate(iterate, objective, rows)
        return Evaluation(cross_entropy(look.logits), look.gradient, look.logits)
