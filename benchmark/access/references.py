"""Training images that an attacker may imitate, and what their features look like per class."""

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from benchmark.defense.target import Target
from benchmark.errors import BenchError


@dataclass(frozen=True)
class Gaussians:
    """Per class and component a normal distribution, ``mean`` and ``variance`` (K, D); NaN for an absent class."""

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
    known: "WeakKeyDictionary[Target, dict[str, Gaussians]]" = field(default_factory=WeakKeyDictionary, repr=False)

    def of_another_class(self, images: Tensor, labels: Tensor, rank: int = 0) -> Tensor:
        """For each image the one of another class that is the ``rank``-th nearest in its pixels, (n, C, H, W).

        Beyond the last the count begins anew with the nearest.

        Raises:
            BenchError: there is none.
        """
        given = self.images.to(images.device)
        # The other way of computing distances, by products, gives an image other bits in another batch.
        distances = torch.cdist(
            images.flatten(1), given.flatten(1), compute_mode="donot_use_mm_for_euclid_dist"
        ).masked_fill(labels[:, None] == self.labels.to(labels.device), torch.inf)
        others = distances.isfinite().sum(dim=1)
        if bool((others == 0).any()):
            raise BenchError("All reference images have the class of an image under attack; give some of every class.")
        order = distances.argsort(dim=1, stable=True)
        return given[order.gather(1, (rank % others)[:, None]).squeeze(1)]


def average_over_area(features: Tensor) -> Tensor:
    """(n, D): maps (n, D, H, W) averaged over their area, anything else flattened."""
    return features.mean(dim=(2, 3)) if features.dim() == 4 else features.flatten(1)


def gaussians_of(features: Tensor, labels: Tensor, num_classes: int) -> Gaussians:
    """Fit each class's distribution to features (M, S, D) of M images in S random copies each."""
    groups = [features[(labels == label).to(features.device)].flatten(0, 1) for label in range(num_classes)]
    spread = [group.var(dim=0) for group in groups if len(group) > 1]
    # One image has no spread of its own: the mean spread of the other classes stands in for it.
    usual = torch.stack(spread).mean(dim=0) if spread else torch.zeros_like(features[0, 0])
    nothing = torch.full_like(features[0, 0], torch.nan)
    return Gaussians(
        torch.stack([group.mean(dim=0) if len(group) else nothing for group in groups]),
        torch.stack([(group.var(dim=0) if len(group) > 1 else usual) if len(group) else nothing for group in groups]),
    )
