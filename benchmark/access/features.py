"""The adaptive view: everything that the deployed pipeline has inside, its features and its detector's score too."""

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

import torch
from torch import Tensor

from benchmark.access.references import Gaussians, References, average_over_area, gaussians_of
from benchmark.access.views import Evaluation, GradientView, mean_logits
from benchmark.defense import Backward
from benchmark.defense.target import Target
from benchmark.errors import BenchError, did_you_mean
from benchmark.randomness import Randomness, content_seed

Features = Mapping[str, Tensor]
"""Layer name -> features (n, ...)."""

FeatureObjective = Callable[[Features, Tensor], Tensor]
"""Maps features and logits (n, K) to a per-image value (n,) that the attacker ascends."""

ScoreObjective = Callable[[Tensor, Tensor], Tensor]
"""Maps a detector's score (n,) and logits (n, K) to a per-image value (n,) that the attacker ascends."""

_ROWS = 64
"""Reference images that pass through a defense at once."""


class FeatureView(GradientView):
    """A gradient view of a deployed defense that opens its features, its detector's score and reference images.

    Args:
        defense: the target.
        draw: the attacker's randomness, one stream per image of the batch.
        eot_samples: draws that one look averages at a stochastic defense.
        backward: how gradients pass the stages.
        references: training images for the attacks that imitate some.
    """

    def __init__(
        self,
        defense: Target,
        draw: Randomness,
        eot_samples: int,
        backward: Backward = "declared",
        references: References | None = None,
    ) -> None:
        samples = eot_samples if defense.stochastic else 1
        super().__init__(
            lambda images, look: defense.adaptive_logits(images, look, samples, backward),
            defense.num_classes,
            draw,
            stochastic=defense.stochastic,
            samples=samples,
        )
        self._defense = defense
        self._eot_samples = eot_samples
        self._inner: Sequence[Target] | None = None
        self._backward: Backward = backward
        self._references = references
        self.layers = defense.feature_layers

    def inner_networks(self, images: Tensor) -> int:
        """How many networks inside the defense turn images (N, C, H, W) into logits, beside its own classifier."""
        return len(self._inner_targets(images))

    def inner(self, number: int, images: Tensor, draw: Randomness) -> "FeatureView":
        """A view of one of these networks behind the defense's stages, for some images and their streams."""
        return FeatureView(self._inner_targets(images)[number], draw, self._eot_samples, self._backward)

    def _inner_targets(self, images: Tensor) -> "Sequence[Target]":
        """Found once: which they are must not depend on the images that still stand."""
        if self._inner is None:
            self._inner = self._defense.inner(images)
        return self._inner

    def spend(self, rows: Tensor, view: GradientView) -> None:
        """Add what a view of the same images ``rows`` has counted."""
        self.queries[rows] += view.queries
        self.gradients[rows] += view.gradients

    def label(self, images: Tensor, rows: Tensor) -> Tensor:
        """Labels (n,) that the whole system, its vote included, decides on images (n, C, H, W); a query each."""
        draw = self._next_draw(rows)
        self.queries[rows] += 1
        return self._defense.predict(images, draw).label

    @property
    def references(self) -> References:
        """The reference images.

        Raises:
            BenchError: the view was made without any.
        """
        if self._references is None:
            raise BenchError("This attack imitates training images: make its adaptive view with references.")
        return self._references

    def evaluate_features(
        self, images: Tensor, objective: FeatureObjective, rows: Tensor, layers: Sequence[str] | None = None
    ) -> Evaluation:
        """Value and gradient of an objective on features and logits; arguments and cost as :meth:`evaluate`.

        Args:
            images: (n, C, H, W) current iterates of the images ``rows``.
            objective: takes the features of ``layers`` and the logits of one random copy.
            rows: (n,) int64 places in the view's batch, on the CPU.
            layers: the defense's feature layers unless given.

        Raises:
            BenchError: the classifier has no such layer.
        """
        wanted = self._checked(layers)

        def values(leaf: Tensor, draw: Randomness) -> tuple[Tensor, Tensor]:
            features, logits = self._features(leaf, draw, wanted)
            each = [objective({layer: features[layer][s] for layer in wanted}, logits[s]) for s in range(len(logits))]
            return torch.stack(each).mean(dim=0), logits

        return self._look(images, values, rows)

    def evaluate_score(self, images: Tensor, objective: ScoreObjective, rows: Tensor) -> Evaluation:
        """Value and gradient of an objective on the detector's score and the logits.

        Arguments as :meth:`evaluate`; costs twice as much, because score and logits are passes of their own.

        Raises:
            BenchError: the defense has no detector.
        """
        self.queries[rows] += self._samples
        self.gradients[rows] += self._samples

        def values(leaf: Tensor, draw: Randomness) -> tuple[Tensor, Tensor]:
            logits = self._defense.adaptive_logits(leaf, draw, self._samples, self._backward)
            score = self._defense.adaptive_score(leaf, draw.restarted(), self._samples, self._backward)
            each = [
                objective(score[s % len(score)], logits[s % len(logits)]) for s in range(max(len(score), len(logits)))
            ]
            return torch.stack(each).mean(dim=0), logits

        return self._look(images, values, rows)

    @torch.no_grad()
    def features(
        self, images: Tensor, rows: Tensor, layers: Sequence[str] | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Features of images (n, C, H, W), averaged over the samples, and logits (n, K), without a gradient."""
        wanted = self._checked(layers)
        draw = self._next_draw(rows)
        self.queries[rows] += self._samples
        features, logits = self._features(images, draw, wanted)
        return {layer: features[layer].mean(dim=0) for layer in wanted}, mean_logits(logits)

    @torch.no_grad()
    def gaussians(self, layers: Sequence[str] | None = None) -> dict[str, Gaussians]:
        """Per class and layer the distribution of the references' features, feature maps averaged over their area.

        Computed once for a defense and its references, and part of no image's cost.
        """
        wanted = self._checked(layers)
        known = self.references.known.setdefault(self._defense, {})
        if any(layer not in known for layer in wanted):
            known.update(self._fitted(wanted))
        return {layer: known[layer] for layer in wanted}

    def _fitted(self, layers: Sequence[str]) -> dict[str, Gaussians]:
        images, labels = self.references.images, self.references.labels
        pooled: dict[str, list[Tensor]] = {layer: [] for layer in layers}
        for start in range(0, len(images), _ROWS):
            part = images[start : start + _ROWS].to(self._draw.device)
            seeds = [content_seed("reference", start + place) for place in range(len(part))]
            features, _ = self._features(part, self._draw.seeded(seeds), layers)
            for layer in layers:
                copies = features[layer].transpose(0, 1)
                pooled[layer].append(average_over_area(copies.flatten(0, 1)).reshape(*copies.shape[:2], -1))
        return {layer: gaussians_of(torch.cat(parts), labels, self.num_classes) for layer, parts in pooled.items()}

    def _features(self, images: Tensor, draw: Randomness, layers: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
        return self._defense.adaptive_features(images, draw, self._samples, layers, self._backward)

    def _checked(self, layers: Sequence[str] | None) -> Sequence[str]:
        wanted = self.layers if layers is None else layers
        self._defense.check_layers(wanted)
        return wanted

    def _look(
        self, images: Tensor, values: Callable[[Tensor, Randomness], tuple[Tensor, Tensor]], rows: Tensor
    ) -> Evaluation:
        draw = self._next_draw(rows)
        self.queries[rows] += self._samples
        self.gradients[rows] += self._samples
        with torch.enable_grad():
            leaf = images.detach().requires_grad_(True)
            value, logits = values(leaf, draw)
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return Evaluation(value.detach(), gradient, mean_logits(logits.detach()))


def adaptive(
    defense: Target,
    draw: Randomness,
    eot_samples: int,
    backward: Backward = "declared",
    references: References | None = None,
) -> FeatureView:
    """Everything: the deployed pipeline through BPDA, averaged over ``eot_samples`` draws where it is random (EOT).

    Args:
        defense: the target.
        draw: the attacker's randomness, one stream per image.
        eot_samples: draws that one look averages at a stochastic defense.
        backward: how gradients pass the stages: as they declare, or by the identity. The second differs from the first
            only where ``defense.alternative_backward`` holds.
        references: training images for the attacks that imitate some (fea, hfc).

    Raises:
        BenchError: an unknown backward pass.
    """
    if backward not in get_args(Backward):
        raise BenchError(f"Unknown backward pass '{backward}'.{did_you_mean(backward, get_args(Backward))}")
    return FeatureView(defense, draw, eot_samples, backward, references)
