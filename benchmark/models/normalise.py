"""Input normalisation as part of the network, so that every attack works in pixels of [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(x - mean) / std per channel; mean and std travel with the weights."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return (images - mean) / std
