"""Random noise stages of MedRDF (section IV-B, "Isotropic Noise")."""

import torch
from torch import Tensor

from benchmark.defense.stage import Stage
from benchmark.randomness import Randomness


class SaltAndPepper(Stage):
    """Set a random share of the pixels to black or white, half each, all channels of a pixel together.

    MedRDF states the "noise level" sigma = 0.1 without a definition; read here as the share of corrupted pixels.
    Gradients pass through the pixels that the draw left alone, which is the true derivative.

    Args:
        level: share of corrupted pixels, in [0, 1].
    """

    stochastic = True

    def __init__(self, level: float = 0.1) -> None:
        super().__init__()
        if not 0 <= level <= 1:
            raise ValueError(f"salt-and-pepper level must lie in [0, 1], not {level}")
        self.level = level

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Corrupt (N, C, H, W) images; ``draw`` covers N rows."""
        chance = draw.uniform((1, *images.shape[2:]))
        salted = torch.where(chance > 1 - self.level / 2, torch.ones_like(images), images)
        return torch.where(chance < self.level / 2, torch.zeros_like(images), salted)
