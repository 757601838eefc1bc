"""Patterns that are added to images."""

import torch
from torch import Tensor


def stripes(images: Tensor, width: int) -> Tensor:
    """Vertical stripes (1, 1, 1, W) of -1 and 1, each ``width`` pixels wide."""
    places = torch.arange(images.shape[3], device=images.device) // width
    return (places % 2 * 2 - 1).to(images.dtype).reshape(1, 1, 1, -1)
