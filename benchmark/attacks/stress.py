"""Stress test of features (Medical Aegis, section 3 and Table 1): how far can a small perturbation drive a layer?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from benchmark.access import FeatureView, GradientView
from benchmark.access.features import Features
from benchmark.attacks.ascent import check_at_least_one, check_positive
from benchmark.attacks.base import all_rows, none_yet
from benchmark.attacks.follow import follow, opened, step_sizes
from benchmark.errors import BenchError, did_you_mean
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal

Direction = Literal["up", "down", "away"]
"""Where the mean activation of a layer is driven: up, down, or away from zero."""

EPS_255 = 4 * 255 / 256
"""Radius of Medical Aegis's stress test, 4/256."""


@dataclass(frozen=True)
class Stress:
    """BIM that drives the mean activation of one layer, from the image itself (Medical Aegis, equation 1 with J*).

    As an attack it is judged like any other: by whether the decision changes. Kept is, of the iterates that fool the
    view, the one of the most extreme activation, else of all. Steps and step size are unstated.

    Costs ``steps`` + 1 gradients and forward passes per image (times EOT samples).

    Args:
        steps: number of steps.
        alpha_255: step size in 1/255; None takes a tenth of the radius.
        layer: a module of the classifier by name; None takes the last of the defense's feature layers.
        direction: "up", "down" or "away" (maximise the absolute mean activation).

    Raises:
        BenchError: a parameter is out of range; when called, the view does not open the defense or has no such layer.
    """

    steps: int = 20
    alpha_255: float | None = None
    layer: str | None = None
    direction: str = "away"
    knowledge: ClassVar[Literal["features"]] = "features"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("stress", steps=self.steps)
        check_positive("stress", alpha_255=self.alpha_255)
        known = get_args(Direction)
        if self.direction not in known:
            raise BenchError(f"stress: unknown direction '{self.direction}'.{did_you_mean(self.direction, known)}")

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
        inside, rows = opened("stress", view), all_rows(images)
        layer = self.layer if self.layer is not None else inside.layers[-1]
        if len(images) == 0:
            return images.clone()

        def driven(features: Features, _: Tensor) -> Tensor:
            mean = mean_activation(features[layer])
            return {"up": mean, "down": -mean, "away": mean.abs()}[self.direction]

        kept, _, _ = follow(
            lambda iterate: inside.evaluate_features(iterate, driven, rows, [layer]),
            goal.lost,
            images,
            images,
            eps_255,
            step_sizes(self.steps, self.alpha_255, eps_255),
            stochastic=view.stochastic,
        )
        return kept


@dataclass(frozen=True)
class StressRow:
    """One line of the stress test's table.

    Attributes:
        layer: name of the layer.
        direction: "up" or "down".
        before: mean activation on the clean images.
        after: mean activation on the perturbed ones.
        change: (after - before) / |before|, the relative change that Table 1 gives in parentheses.
        fooling_rate: share of images whose label in the view changed.
        eps_255: radius in 1/255.
    """

    layer: str
    direction: str
    before: float
    after: float
    change: float
    fooling_rate: float
    eps_255: float


def stress_table(
    view: FeatureView,
    images: Tensor,
    layers: Sequence[str] | None = None,
    eps_255: float = EPS_255,
    steps: int = 20,
) -> list[StressRow]:
    """Drive the mean activation of each layer up and down and say how far it went (Medical Aegis, Table 1).

    Unlike the attack it keeps the most extreme activation whether or not the decision changes.

    Args:
        view: adaptive view made for these images; with a cushion it is the cushioned features that are driven.
        images: (N, C, H, W) float32 in [0, 1], at least one.
        layers: names of modules of the classifier; the defense's feature layers unless given.
        eps_255: radius in 1/255.
        steps: steps of a tenth of the radius each.

    Raises:
        BenchError: there is no image, or no such layer.
    """
    if len(images) == 0:
        raise BenchError("The stress test was given no image; give at least one.")
    return [
        _driven(view, images, layer, direction, eps_255, steps)
        for layer in (view.layers if layers is None else layers)
        for direction in ("up", "down")
    ]


def _driven(view: FeatureView, images: Tensor, layer: str, direction: str, eps_255: float, steps: int) -> StressRow:
    rows, sign = all_rows(images), 1.0 if direction == "up" else -1.0
    clean, clean_logits = view.features(images, rows, [layer])
    before, labels = mean_activation(clean[layer]), clean_logits.argmax(dim=1)
    kept, _, _ = follow(
        lambda iterate: view.evaluate_features(iterate, lambda f, _: sign * mean_activation(f[layer]), rows, [layer]),
        none_yet,
        images,
        images,
        eps_255,
        step_sizes(steps, None, eps_255),
        stochastic=view.stochastic,
    )
    found, logits = view.features(kept, rows, [layer])
    start, end = float(before.mean()), float(mean_activation(found[layer]).mean())
    fooled = (logits.argmax(dim=1) != labels).float().mean()
    return StressRow(layer, direction, start, end, (end - start) / max(abs(start), 1e-12), float(fooled), eps_255)


def mean_activation(features: Tensor) -> Tensor:
    """(n,) mean of features (n, ...)."""
    return features.flatten(1).mean(dim=1)
