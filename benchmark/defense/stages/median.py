"""Median filter, MedRDF's chosen denoiser (Tables I-V)."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.defense.stage import Stage
from benchmark.defense.stages.stand_ins import soft_median
from benchmark.randomness import Randomness

_EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)
"""Compare-and-exchange network that leaves the median of nine values in place 4."""

_BLOCK = 64
"""Images filtered at once: their nine shifted copies stay in a processor's cache."""


class MedianFilter(Stage):
    """3x3 median of each channel, reflected at the border (the paper states no kernel size).

    A network of minima and maxima: ten times faster on a CPU than unfolding and sorting. Its gradient is the true one:
    each output passes its own to the pixel that it copied, in equal parts where several hold that value.

    Args:
        stand_in: the backward pass: "exact", or "soft" for that of
            :func:`benchmark.defense.stages.stand_ins.soft_median`, in which all nine pixels may share.

    Raises:
        ValueError: an unknown stand-in.
    """

    def __init__(self, stand_in: Literal["exact", "soft"] = "exact") -> None:
        super().__init__()
        if stand_in not in ("exact", "soft"):
            raise ValueError(f"the median's stand_in must be 'exact' or 'soft', not '{stand_in}'")
        self.differentiable = stand_in == "exact"

    def stand_in(self, images: Tensor, draw: Randomness) -> Tensor:
        """The soft median."""
        del draw
        return soft_median(images)

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Filter (N, C, H, W) images with H, W >= 2."""
        return torch.cat([_median(images[start : start + _BLOCK]) for start in range(0, max(1, len(images)), _BLOCK)])


def _median(images: Tensor) -> Tensor:
    filtered: Tensor = _Median.apply(F.pad(images, (1, 1, 1, 1), mode="reflect"))
    return filtered


def _shifted(padded: Tensor) -> list[Tensor]:
    """The nine views (N, C, H, W) of a (N, C, H + 2, W + 2) tensor, one for each place in the window."""
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    return [padded[:, :, row : row + height, col : col + width] for row in range(3) for col in range(3)]


class _Median(torch.autograd.Function):
    """The network with a backward pass of its own: autograd's walks back through all 38 minima and maxima."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor) -> Tensor:
        values = _shifted(padded)
        for low, high in _EXCHANGES:
            values[low], values[high] = (
                torch.minimum(values[low], values[high]),
                torch.maximum(values[low], values[high]),
            )
        ctx.save_for_backward(padded, values[4])
        return values[4]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        padded, median = ctx.saved_tensors
        copied = [(value == median).to(median.dtype) for value in _shifted(padded)]
        share = gradients[0] / torch.stack(copied).sum(dim=0)
        spread = torch.zeros_like(padded)
        for place, here in zip(_shifted(spread), copied, strict=True):
            place.addcmul_(here, share)
        return spread
