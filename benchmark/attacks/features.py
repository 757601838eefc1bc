"""Attacks on features: imitate another image's (Fea), or what is usual for a class (HFC)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import FeatureView, GradientView
from benchmark.access.features import Features
from benchmark.access.references import Gaussians, average_over_area
from benchmark.attacks.ascent import check_at_least_one, check_positive
from benchmark.attacks.base import all_rows, choose, no_value
from benchmark.attacks.follow import follow, opened, step_sizes
from benchmark.attacks.norms import random_start
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.classification import ClassGoal, of_classes
from benchmark.task.goal import Goal

VARIANCE_FLOOR = 0.01
"""Share of a layer's mean variance that each component has at least: one that never varied would drown all others."""


@dataclass(frozen=True)
class Fea:
    """Feature attack (Sabour et al. 2016; Medical Aegis, "Fea"): make features equal to a natural image's.

    Descends the squared distance to the features of a guide, relative to their squared length and averaged over the
    defense's feature layers, from a uniform random start. The guide is the training image of another class that
    is nearest in its pixels. Medical Aegis leaves choice of guide and step size unstated.

    Each guide costs ``steps`` + 1 gradients and ``steps`` + 2 forward passes per image (times EOT samples); a further
    one is spent only on images not yet misclassified.

    Args:
        steps: number of steps (Medical Aegis: 100).
        alpha_255: step size in 1/255; None takes a tenth of the radius.
        guides: natural images tried, the nearest first.

    Raises:
        BenchError: a parameter is out of range; when called, the view does not open the defense or has no references.
    """

    steps: int = 100
    alpha_255: float | None = None
    guides: int = 1
    knowledge: ClassVar[Literal["references"]] = "references"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("fea", steps=self.steps, guides=self.guides)
        check_positive("fea", alpha_255=self.alpha_255)

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        inside = opened("fea", view)
        candidates = images.clone()
        best, classes = no_value(images), of_classes("fea", goal)
        rows = all_rows(images)
        for number in range(self.guides):
            if len(rows) == 0:
                break
            place = rows.to(images.device)
            streams = draw.take(rows).fork("guide", number)
            guides = inside.references.of_another_class(images[place], classes.labels[place], number)
            own = goal.take(place)
            found, value, fooled = self._toward(inside, own, guides, images[place], rows, eps_255, streams)
            candidates[place] = choose(fooled | (value > best[place]), found, candidates[place])
            best[place] = torch.maximum(value, best[place])
            rows = rows[~fooled.cpu()]
        return candidates

    def _toward(
        self,
        view: FeatureView,
        goal: Goal,
        guides: Tensor,
        images: Tensor,
        rows: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> tuple[Tensor, Tensor, Tensor]:
        wanted, _ = view.features(guides, rows)

        def closeness(features: Features, _: Tensor) -> Tensor:
            return -torch.stack([relative_distance(features[layer], wanted[layer]) for layer in wanted]).mean(dim=0)

        return follow(
            lambda iterate: view.evaluate_features(iterate, closeness, rows),
            goal.lost,
            random_start(images, self.norm, eps_255, draw.fork("start")),
            images,
            eps_255,
            step_sizes(self.steps, self.alpha_255, eps_255),
            stochastic=view.stochastic,
        )


@dataclass(frozen=True)
class Hfc:
    """Hierarchical feature constraint (Yao et al. 2021; Medical Aegis, "HFC"): look like the target class everywhere.

    Ascends the margin of the target class, up to ``kappa``, plus ``weight`` times the mean over layers and components
    of the log-likelihood of the features under the target class's training features: one normal distribution per
    component (Yao et al. fit Gaussian mixtures), feature maps averaged over their area. The target is the most likely
    wrong class of the clean image among those that have training images. Weight, kappa and step size are unstated.

    Costs ``steps`` + 1 gradients and ``steps`` + 2 forward passes per image (times EOT samples).

    Args:
        steps: number of steps (Medical Aegis: 100).
        alpha_255: step size in 1/255; None takes a tenth of the radius.
        weight: weight of the likelihood.
        kappa: margin beyond which only the likelihood gains.

    Raises:
        BenchError: a parameter is out of range; when called, the view does not open the defense or has no references.
    """

    steps: int = 100
    alpha_255: float | None = None
    weight: float = 1.0
    kappa: float = 5.0
    knowledge: ClassVar[Literal["references"]] = "references"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("hfc", steps=self.steps)
        check_positive("hfc", alpha_255=self.alpha_255)
        if self.weight < 0 or self.kappa < 0:
            raise BenchError(f"hfc: weight is {self.weight} and kappa is {self.kappa}; give 0 or more for both.")

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        inside = opened("hfc", view)
        usual, rows = inside.gaussians(), all_rows(images)
        if len(images) == 0:
            return images.clone()
        classes = of_classes("hfc", goal)
        targets = self._targets(classes, inside.logits(images, rows), usual)
        against = classes.instead(targets)

        def objective(features: Features, logits: Tensor) -> Tensor:
            # The margin with the target as label is what speaks against the target.
            margin = (-against.margin(logits)).clamp(max=self.kappa)
            layers = [log_likelihood(features[layer], usual[layer], targets) for layer in usual]
            return margin + self.weight * torch.stack(layers).mean(dim=0)

        kept, _, _ = follow(
            lambda iterate: inside.evaluate_features(iterate, objective, rows),
            goal.lost,
            random_start(images, self.norm, eps_255, draw),
            images,
            eps_255,
            step_sizes(self.steps, self.alpha_255, eps_255),
            stochastic=view.stochastic,
        )
        return kept

    def _targets(self, goal: ClassGoal, logits: Tensor, usual: Mapping[str, Gaussians]) -> Tensor:
        known = torch.stack([each.mean.isfinite().all(dim=1) for each in usual.values()]).all(dim=0).to(logits.device)
        targets = goal.rivals(logits.masked_fill(~known, -torch.inf), 1)[0].classes
        if not bool(known[targets].all()) or bool((targets == goal.labels).any()):
            raise BenchError("hfc: no other class has a training image to imitate; give some of at least two classes.")
        return targets


def relative_distance(features: Tensor, wanted: Tensor) -> Tensor:
    """(n,) squared distance of features (n, ...) to the wanted ones, in units of these' squared length."""
    change = (features - wanted).flatten(1).square().sum(dim=1)
    return change / wanted.flatten(1).square().sum(dim=1).clamp_min(1e-12)


def log_likelihood(features: Tensor, usual: Gaussians, classes: Tensor) -> Tensor:
    """(n,) mean over components of the log-density of features (n, ...) under the classes (n,), constants left out."""
    variance = usual.variance[classes]
    variance = variance + VARIANCE_FLOOR * variance.mean(dim=1, keepdim=True) + 1e-12
    deviation = (average_over_area(features) - usual.mean[classes]).square()
    return -(deviation / variance).mean(dim=1) / 2
