"""ComDefend's two networks (Jia et al. 2019): an image to a few binary maps and back."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import BenchError

MAPS_PER_CHANNEL = 4
"""Twelve bits for the 24 of a coloured pixel (section 3.1); the authors' networks for grey images have four."""

_WIDTH = 0.1
"""Width of the backward pass's logistic, relative to the code's mean distance from the threshold.

Measured by adaptive PGD: half and twice as wide attack as well, a fifth or five times as wide worse.
"""


class ComDefend(nn.Module):
    """ComCNN, which gives each pixel a few bits, and ResCNN, which makes an image of them.

    Both are stacks of 3x3 convolutions with ELU between them and keep the resolution. As published each has nine, of up
    to 256 channels; here a few narrow ones. In training the code passes a sigmoid, with noise before it, which drives
    it towards 0 and 1; deployed it is 1 where ComCNN's output is positive and else 0. The reconstruction ends in a
    sigmoid, as in the authors' code.

    A step has no gradient. What passes backwards is the slope of a logistic a tenth as wide as the map's mean distance
    from the threshold in that image, so that bits near their threshold count most and none exactly nothing.

    Args:
        channels: of the images.
        widths: channels of ComCNN's hidden layers; ResCNN has them in reverse.
        maps: bits per pixel; None takes :data:`MAPS_PER_CHANNEL` for each channel.

    Raises:
        BenchError: no hidden layer, or a number that is not positive.
    """

    def __init__(
        self,
        channels: int = 1,
        widths: Sequence[int] = (8, 16, 16, 8),
        maps: int | None = None,
    ) -> None:
        super().__init__()
        self.maps = MAPS_PER_CHANNEL * channels if maps is None else maps
        if not widths or min(*widths, self.maps, 1) < 1:
            raise BenchError(
                f"ComDefend's widths {list(widths)} and maps {self.maps} must be positive, and some given."
            )
        self.compressing = _stack([channels, *widths, self.maps])
        self.restoring = _stack([self.maps, *reversed(widths), channels])

    def compress(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to the code (N, M, H, W) before it is made binary: positive stands for 1."""
        code: Tensor = self.compressing(images - 0.5)
        return code

    def restore(self, bits: Tensor) -> Tensor:
        """Map (N, M, H, W) in [0, 1] to images (N, C, H, W) in [0, 1]."""
        images: Tensor = self.restoring(bits).sigmoid()
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Pass (N, C, H, W) images through their binary code."""
        bits: Tensor = _Step.apply(self.compress(images))
        return self.restore(bits)


class _Step(torch.autograd.Function):
    """One where the code is positive; backwards the slope of a logistic."""

    @staticmethod
    def forward(ctx: Any, code: Tensor) -> Tensor:
        ctx.save_for_backward(code)
        return (code > 0).to(code.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (code,) = ctx.saved_tensors
        width = (_WIDTH * code.abs().mean(dim=(2, 3), keepdim=True)).clamp(min=1e-6)
        # One minus the sigmoid is the sigmoid of the other side, which does not round to zero.
        slope: Tensor = (code / width).sigmoid() * (-code / width).sigmoid() / width
        return gradients[0] * slope


def _stack(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ELU()]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.get_parameter("bias"))
    return nn.Sequential(*layers[:-1])
