"""Projected gradient ascent with a fixed step: PGD and the survey's CW in L-inf."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import GradientView
from benchmark.attacks.base import all_rows, ascent_signs, choose, project_linf
from benchmark.errors import BenchError, did_you_mean
from benchmark.randomness import Randomness
from benchmark.task import Classification

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits (n, K) and labels (n,) to values (n,) that the attacker ascends."""

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
        restarts: number of random starts; a further one is spent only on images still standing.

    Raises:
        BenchError: a parameter is out of range.
    """

    steps: int = 20
    alpha_255: float | None = None
    loss: str = "cross_entropy"
    restarts: int = 1
    knowledge: ClassVar[Literal["gradient"]] = "gradient"

    def __post_init__(self) -> None:
        check_at_least_one("pgd", steps=self.steps, restarts=self.restarts)
        if self.loss not in ("cross_entropy", "margin"):
            raise BenchError(f"pgd: unknown loss '{self.loss}'.{did_you_mean(self.loss, ('cross_entropy', 'margin'))}")

    def __call__(
        self,
        view: GradientView,
        task: Classification,
        images: Tensor,
        labels: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        alpha = self.alpha_255 if self.alpha_255 is not None else PGD_ALPHA_255.get(eps_255, eps_255 / 4)
        loss = task.cross_entropy if self.loss == "cross_entropy" else task.margin
        ascent = _Ascent(view, task, loss, eps_255 / 255, alpha / 255, self.steps)
        return ascent.restarted(images, labels, draw, self.restarts)


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

    def __post_init__(self) -> None:
        check_at_least_one("cw-linf", steps=self.steps)

    def __call__(
        self,
        view: GradientView,
        task: Classification,
        images: Tensor,
        labels: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        alpha = self.alpha_255 if self.alpha_255 is not None else CW_ALPHA_255.get(eps_255, eps_255 / 10)
        ascent = _Ascent(view, task, self._loss(task), eps_255 / 255, alpha / 255, self.steps)
        return ascent.restarted(images, labels, draw, restarts=1)

    def _loss(self, task: Classification) -> Loss:
        return lambda logits, labels: task.margin(logits, labels).clamp(max=self.kappa)


def check_at_least_one(attack: str, **counts: int) -> None:
    """Raise BenchError unless every count is at least 1."""
    for name, value in counts.items():
        if value < 1:
            raise BenchError(f"{attack}: {name} is {value}; give at least 1.")


@dataclass(frozen=True)
class _Ascent:
    """Signed gradient ascent in the L-inf ball; ``eps`` and ``alpha`` in [0, 1]."""

    view: GradientView
    task: Classification
    loss: Loss
    eps: float
    alpha: float
    steps: int

    def restarted(self, images: Tensor, labels: Tensor, draw: Randomness, restarts: int) -> Tensor:
        candidates = images.clone()
        best = torch.full_like(labels, -torch.inf, dtype=images.dtype)
        rows = all_rows(images)
        for restart in range(restarts):
            if len(rows) == 0:
                break
            place = rows.to(images.device)
            streams = draw.take(rows).fork("restart", restart)
            found, value, fooled = self._single(images[place], labels[place], rows, streams)
            gain = fooled | (value >= best[place])
            candidates[place] = choose(gain, found, candidates[place])
            best[place] = torch.maximum(value, best[place])
            rows = rows[~fooled.cpu()]
        return candidates

    def _single(self, images: Tensor, labels: Tensor, rows: Tensor, draw: Randomness) -> tuple[Tensor, Tensor, Tensor]:
        """One start; returns the kept iterates, their losses and whether they fool the view."""
        iterate = project_linf(images + draw.uniform(images.shape[1:], -self.eps, self.eps), images, self.eps)
        kept = iterate
        value = torch.full_like(labels, -torch.inf, dtype=images.dtype)
        fooled = torch.zeros_like(labels, dtype=torch.bool)
        for step in range(self.steps + 1):
            if step < self.steps:
                look = self.view.evaluate(iterate, lambda logits: self.loss(logits, labels), rows)
                current, logits = look.loss, look.logits
            else:
                logits = self.view.logits(iterate, rows)
                current = self.loss(logits, labels)
            now = self.task.fooled(logits, labels)
            take = now | (~fooled & (current > value))
            kept, value, fooled = choose(take, iterate, kept), torch.where(take, current, value), fooled | now
            if step < self.steps:
                iterate = project_linf(iterate + self.alpha * ascent_signs(look.gradient), images, self.eps)
        return kept, value, fooled
