"""Median filter, MedRDF's chosen denoiser (Tables I-V)."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.defense.stage import Stage
from benchmark.defense.stages.stand_ins import soft_median
from benchmark.randomness import Randomness

_FLOATS_AT_ONCE = 1 << 17
"""Values filtered at once: what a 3x3 window needs of them then stays in a processor's cache."""


class MedianFilter(Stage):
    """3x3 median of each channel, reflected at the border (the paper states no kernel size).

    Minima and maxima alone, of columns first, which neighbouring windows share: many times faster on a CPU than
    unfolding and sorting. Its gradient is the true one: each output passes its own to the pixel that it copied, in
    equal parts where several hold that value.

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
        block = max(1, _FLOATS_AT_ONCE // images[:1].numel()) if len(images) else 1
        return torch.cat([_median(images[start : start + block]) for start in range(0, max(1, len(images)), block)])


def _median(images: Tensor) -> Tensor:
    filtered: Tensor = _Median.apply(F.pad(images, (1, 1, 1, 1), mode="reflect"))
    return filtered


def _shifted(padded: Tensor) -> list[Tensor]:
    """The nine views (N, C, H, W) of a (N, C, H + 2, W + 2) tensor, one for each place in the window."""
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    return [padded[:, :, row : row + height, col : col + width] for row in range(3) for col in range(3)]


def _middle(one: Tensor, two: Tensor, three: Tensor) -> Tensor:
    """The median of three."""
    return torch.maximum(torch.minimum(one, two), torch.minimum(torch.maximum(one, two), three))


def _window_median(padded: Tensor) -> Tensor:
    """Median of each 3x3 window of (N, C, H + 2, W + 2), (N, C, H, W).

    With the three columns of a window sorted, it is the middle one of the largest low, the middle middle and the
    smallest high value.
    """
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    top, centre, bottom = (padded[:, :, row : row + height] for row in range(3))
    upper, lower = torch.maximum(top, centre), torch.minimum(top, centre)
    highs, rest = torch.maximum(upper, bottom), torch.minimum(upper, bottom)
    lows, middles = torch.minimum(lower, rest), torch.maximum(lower, rest)
    low, middle, high = ([part[..., col : col + width] for col in range(3)] for part in (lows, middles, highs))
    return _middle(
        torch.maximum(torch.maximum(low[0], low[1]), low[2]),
        _middle(*middle),
        torch.minimum(torch.minimum(high[0], high[1]), high[2]),
    )


class _Median(torch.autograd.Function):
    """The window's median with a backward pass of its own: autograd's walks back through all minima and maxima."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor) -> Tensor:
        median = _window_median(padded)
        ctx.save_for_backward(padded, median)
        return median

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        padded, median = ctx.saved_tensors
        copied = [(value == median).to(median.dtype) for value in _shifted(padded)]
        share = gradients[0] / torch.stack(copied).sum(dim=0)
        spread = torch.zeros_like(padded)
        for place, here in zip(_shifted(spread), copied, strict=True):
            place.addcmul_(here, share)
        return spread
