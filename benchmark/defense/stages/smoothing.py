"""Gaussian smoothing, the other of MedRDF's two denoisers ("GS" in Tables III-V)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.defense.stage import Stage
from benchmark.randomness import Randomness


class GaussianSmoothing(Stage):
    """Convolve each channel with a sampled Gaussian of sum one, mirrored at the border.

    The paper states neither width nor kernel. The gradient is the true one, the same convolution backwards.

    Args:
        sigma: width of the Gaussian in pixels, above 0.
        kernel: odd side of the window; None reaches three sigma to each side. Images need H, W > kernel / 2.

    Raises:
        ValueError: a width or window out of range, or images smaller than half of the window.
    """

    def __init__(self, sigma: float = 1.0, kernel: int | None = None) -> None:
        super().__init__()
        if not 0 < sigma < float("inf"):
            raise ValueError(f"the sigma of Gaussian smoothing must be a number above 0, not {sigma}")
        side = 2 * math.ceil(3 * sigma) + 1 if kernel is None else kernel
        if side < 1 or side % 2 == 0:
            raise ValueError(f"the kernel of Gaussian smoothing must be an odd number of at least 1, not {kernel}")
        places = torch.arange(side, dtype=torch.float64) - side // 2
        weights = torch.exp(-0.5 * (places / sigma) ** 2)
        self.register_buffer("weights", (weights / weights.sum()).float(), persistent=False)

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Smooth (N, C, H, W) images."""
        del draw
        weights = self.get_buffer("weights")
        reach, channels = len(weights) // 2, images.shape[1]
        if min(images.shape[2:]) <= reach:
            raise ValueError(
                f"images of {images.shape[2]} x {images.shape[3]} pixels are too small for a kernel of {len(weights)}"
            )
        padded = F.pad(images, (reach,) * 4, mode="reflect")
        across = F.conv2d(padded, weights.reshape(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)
        return F.conv2d(across, weights.reshape(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)
