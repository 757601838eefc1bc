"""Random noise stages of MedRDF (section IV-B, "Isotropic Noise"; compared in Tables I and III-V).

The paper gives one "noise level" sigma = 0.1 for its three kinds of noise and no definition. Read here: the standard
deviation of the Gaussian, the share of pixels of salt and pepper, the standard deviation of Poisson noise at white.
"""

import torch
from torch import Tensor

from benchmark.defense.stage import Stage
from benchmark.defense.stages.clip import clipped
from benchmark.randomness import Randomness


class GaussianNoise(Stage):
    """Add independent N(0, std^2) to every value and clip to [0, 1].

    Its gradient is the identity, clipping included (:func:`benchmark.defense.stages.clip.clipped`).

    Args:
        std: standard deviation in units of the white value, at least 0; the paper's level is 0.1.

    Raises:
        ValueError: a negative or infinite standard deviation.
    """

    stochastic = True

    def __init__(self, std: float = 0.1) -> None:
        super().__init__()
        if not 0 <= std < float("inf"):
            raise ValueError(f"the standard deviation of Gaussian noise must be a number of at least 0, not {std}")
        self.std = std

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Corrupt (N, C, H, W) images; ``draw`` covers N rows."""
        return clipped(images + draw.normal(images.shape[1:], self.std))


class PoissonNoise(Stage):
    """Replace every value x by Poisson(scale * x) / scale, clipped to [0, 1]: photons counted.

    The mean is x and the standard deviation sqrt(x / scale), so that 100 gives the paper's level 0.1 at white. A count
    has no derivative; the backward pass is the identity, which is the derivative of its mean.

    Args:
        scale: photons that a white pixel stands for, above 0.

    Raises:
        ValueError: a scale that is not a positive number.
    """

    stochastic = True
    differentiable = False

    def __init__(self, scale: float = 100.0) -> None:
        super().__init__()
        if not 0 < scale < float("inf"):
            raise ValueError(f"the scale of Poisson noise must be a number above 0, not {scale}")
        self.scale = scale

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Corrupt (N, C, H, W) images; ``draw`` covers N rows."""
        return (draw.poisson(images.clamp(0, 1) * self.scale) / self.scale).clamp(max=1)


class SaltAndPepper(Stage):
    """Set a random share of the pixels to black or white, half each, all channels of a pixel together.

    Gradients pass through the pixels that the draw left alone, which is the true derivative.

    Args:
        level: share of corrupted pixels, in [0, 1].

    Raises:
        ValueError: level out of range.
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
