"""Moving pixels: affine and perspective maps, centre zoom. Beyond the image lies black."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Resampling:
    """Where each output pixel takes its value: four source pixels and their weights, each (4, H*W)."""

    index: Tensor
    weight: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """Resample images (N, C, H, W) to the same shape."""
        flat = images.flatten(2)
        total = torch.zeros_like(flat)
        index, weight = self.index.to(images.device), self.weight.to(images.device)
        for corner in range(4):
            total = total + flat.index_select(2, index[corner]) * weight[corner]
        return total.view(images.shape)


def _corners(
    rows: NDArray[np.float64], columns: NDArray[np.float64], height: int, width: int, seen: NDArray[np.bool_]
) -> Resampling:
    top, left = np.floor(rows), np.floor(columns)
    below, beside = rows - top, columns - left
    index, weight = [], []
    for dy, share_y in ((0, 1 - below), (1, below)):
        for dx, share_x in ((0, 1 - beside), (1, beside)):
            y = np.clip(top + dy, 0, height - 1).astype(np.int64)
            x = np.clip(left + dx, 0, width - 1).astype(np.int64)
            index.append((y * width + x).ravel())
            weight.append(np.where(seen, share_y * share_x, 0.0).ravel())
    return Resampling(torch.from_numpy(np.stack(index)), torch.from_numpy(np.stack(weight).astype(np.float32)))


def affine(matrix: NDArray[np.float64], height: int, width: int) -> Resampling:
    """Bilinear affine map about the image's centre, in Pillow's convention.

    Args:
        matrix: (2, 3), maps output (x, y, 1) to the input position, both in pixels from the centre.
        height: of the images.
        width: of the images.

    A pixel whose source lies inside the image area is taken from the nearest pixels there; all others are black.
    """
    y, x = np.mgrid[0:height, 0:width] + 0.5
    from_centre = np.stack([x - width / 2, y - height / 2, np.ones_like(x)])
    source_x, source_y = np.einsum("ij,jhw->ihw", matrix, from_centre)
    source_x, source_y = source_x + width / 2, source_y + height / 2
    seen = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    return _corners(source_y - 0.5, source_x - 0.5, height, width, seen)


def perspective(matrix: NDArray[np.float64], height: int, width: int) -> Resampling:
    """Bilinear perspective map in OpenCV's convention (pixel (0, 0) has its centre at the origin).

    Args:
        matrix: (3, 3), maps input (x, y, 1) to the homogeneous output position, in pixels.
        height: of the images.
        width: of the images.

    At the border the image fades into black within a pixel.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    source = np.einsum("ij,jhw->ihw", np.linalg.inv(matrix), np.stack([x, y, np.ones_like(x)]))
    rows, columns = source[1] / source[2], source[0] / source[2]
    plan = _corners(rows, columns, height, width, np.ones_like(rows, dtype=bool))
    top, left = np.floor(rows), np.floor(columns)
    inside = [
        ((top + dy >= 0) & (top + dy < height) & (left + dx >= 0) & (left + dx < width)).ravel()
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    return Resampling(plan.index, plan.weight * torch.from_numpy(np.stack(inside)))


def _stretched(layers: Tensor, length: int) -> Tensor:
    """Stretch the last dimension to ``length``, first and last samples staying in place (linear)."""
    old = layers.shape[-1]
    position = np.arange(length) * ((old - 1) / max(length - 1, 1))
    left = np.minimum(np.floor(position).astype(np.int64), old - 1)
    share = torch.from_numpy((position - left).astype(np.float32)).to(layers.device)
    here = torch.from_numpy(left).to(layers.device)
    beyond = (here + 1).clamp(max=old - 1)
    return layers.index_select(-1, here) * (1 - share) + layers.index_select(-1, beyond) * share


def stretched(layers: Tensor, height: int, width: int) -> Tensor:
    """Enlarge layers (..., h, w) to (..., height, width), corner pixels staying in place (linear)."""
    wide = _stretched(layers, width)
    return _stretched(wide.transpose(-1, -2), height).transpose(-1, -2)
