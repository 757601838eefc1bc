"""Training images that an attacker may imitate, and what their features look like per class."""

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.randomness import Randomness


@dataclass(frozen=True)
class Gaussians:
    """Per class and component a normal distribution: ``mean`` and ``variance`` (K, D)."""

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True, eq=False)
class References:
    """Training images that an attacker may imitate; never images of the batch under attack.

    Args:
        images: (M, C, H, W) float32 in [0, 1].
        labels: (M,) int64 true classes.
        known: what views have computed from them, per defense and layer.
    """

    images: Tensor
    labels: Tensor
    known: "WeakKeyDictionary[Defense, dict[str, Gaussians]]" = field(default_factory=WeakKeyDictionary, repr=False)

    def of_another_class(self, labels: Tensor, draw: Randomness) -> Tensor:
        """One image (n, C, H, W) for each label (n,), drawn from all that have another label.

        Raises:
            BenchError: there is none.
        """
        chance = draw.uniform(())
        chosen = []
        for label, part in zip(labels.tolist(), chance.tolist(), strict=True):
            others = (self.labels != label).nonzero().squeeze(1)
            if len(others) == 0:
                raise BenchError(f"No reference image has another class than {label}; give some of every class.")
            chosen.append(int(others[int(part * len(others))]))
        return self.images[chosen].to(labels.device)


def average_over_area(features: Tensor) -> Tensor:
    """(n, D): maps (n, D, H, W) averaged over their area, anything else flattened."""
    return features.mean(dim=(2, 3)) if features.dim() == 4 else features.flatten(1)


def gaussians_of(features: Tensor, labels: Tensor, num_classes: int) -> Gaussians:
    """Fit each class's distribution to features (M, S, D) of M images in S random copies each."""
    groups = [features[(labels == label).to(features.device)].flatten(0, 1) for label in range(num_classes)]
    return Gaussians(
        torch.stack([group.mean(dim=0) for group in groups]), torch.stack([group.var(dim=0) for group in groups])
    )
