"""Pixel arithmetic that the perturbations share.

Everything here is a chain of single IEEE operations per pixel (no matrix product, no fused reduction), so that an image
comes out bit for bit the same alone, in any batch, on CPU and on CUDA.
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.corruption.catalogue import REFERENCE_SIZE

# Float error must not push a whole level below itself when levels are truncated.
_LEVEL_SLACK = 2e-4

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B in luminance (ITU-R BT.601)."""

Taps = dict[tuple[int, int], float]
"""A filter as {(rows down, columns right): weight}: out[p] = sum of weight * in[p + offset]."""


def truncated(images: Tensor) -> Tensor:
    """Clip to [0, 1] and cut down to the 8-bit level below, as uint8 casts and ImageMagick do."""
    return torch.floor(images.clamp(0, 1) * 255 + _LEVEL_SLACK) / 255


def rounded(images: Tensor) -> Tensor:
    """Clip to [0, 1] and round to the nearest 8-bit level, as OpenCV does."""
    return torch.floor(images.clamp(0, 1) * 255 + 0.5) / 255


def relative_size(images: Tensor) -> float:
    """Size of images (..., H, W) relative to the reference: min(H, W) / 224."""
    return min(images.shape[-2:]) / REFERENCE_SIZE


def luminance(images: Tensor) -> Tensor:
    """Luminance of images (N, 3 or 1, H, W), shape (N, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = (images[:, i : i + 1] * weight for i, weight in enumerate(LUMA))
    return red + green + blue


def placed(taps: Iterable[tuple[float, float, float]]) -> Taps:
    """Put taps (rows down, columns right, weight) at fractional offsets onto whole pixels, bilinearly.

    The weights are normalised to sum 1.
    """
    whole: Taps = {}
    for down, right, weight in taps:
        row, column = math.floor(down), math.floor(right)
        below, beside = down - row, right - column
        for dy, share_y in ((0, 1 - below), (1, below)):
            for dx, share_x in ((0, 1 - beside), (1, beside)):
                share = weight * share_y * share_x
                if share > 0:
                    whole[row + dy, column + dx] = whole.get((row + dy, column + dx), 0.0) + share
    total = sum(whole.values())
    return {offset: weight / total for offset, weight in whole.items()}


def filtered(images: Tensor, taps: Taps, border: str = "replicate") -> Tensor:
    """Filter images (N, C, H, W) with taps; beyond the border lies 'replicate', 'reflect' or 'constant' (zero)."""
    if set(taps) == {(0, 0)}:
        return images * taps[0, 0]
    rows, columns = [dy for dy, _ in taps], [dx for _, dx in taps]
    top, bottom = max(0, -min(rows)), max(0, max(rows))
    left, right = max(0, -min(columns)), max(0, max(columns))
    wide = F.pad(images, (left, right, top, bottom), mode=border)
    height, width = images.shape[-2:]
    total = torch.zeros_like(images)
    for (dy, dx), weight in taps.items():
        part = wide[..., top + dy : top + dy + height, left + dx : left + dx + width]
        total = total + part * weight
    return total


def gaussian_blurred(images: Tensor, sigma: float, truncate: float) -> Tensor:
    """Blur images (N, C, H, W) with a Gaussian sampled on the reference grid.

    Args:
        images: any range.
        sigma: standard deviation in reference pixels (see :data:`REFERENCE_SIZE`).
        truncate: where the kernel ends, in sigmas.

    At 224 px this is the usual sampled kernel. In a smaller image the same taps fall between pixels and are shared out
    bilinearly: what blurring the 224-px image and then shrinking it would leave.
    """
    size = relative_size(images)
    spread, pitch = sigma * max(size, 1.0), min(size, 1.0)
    reach = int(truncate * spread + 0.5)
    line = (
        [(pitch * k, math.exp(-0.5 * (k / spread) ** 2)) for k in range(-reach, reach + 1)] if reach else [(0.0, 1.0)]
    )
    down = placed((offset, 0.0, weight) for offset, weight in line)
    across = placed((0.0, offset, weight) for offset, weight in line)
    return filtered(filtered(images, down), across)


def motion_taps(size: float, radius: float, sigma: float, angle: float) -> Taps:
    """ImageMagick's motion blur as taps: a one-sided Gaussian trail along ``angle``.

    Args:
        size: image size relative to the reference.
        radius: in reference pixels; the trail has 2 * ceil(radius) + 1 taps.
        sigma: fading of the trail in reference pixels.
        angle: degrees, clockwise from the right.

    Offsets are rounded to whole reference pixels as ImageMagick does (in its order of operations, which decides the
    ties at multiples of 30 degrees), then scaled to the image.
    """
    grid, pitch = max(size, 1.0), min(size, 1.0)
    count = 2 * math.ceil(radius * grid) + 1
    across, along = count * math.sin(math.radians(angle)), count * math.cos(math.radians(angle))
    length = math.hypot(across, along)
    return placed(
        (
            pitch * math.ceil(k * across / length - 0.5),
            pitch * math.ceil(k * along / length - 0.5),
            math.exp(-0.5 * (k / (sigma * grid)) ** 2),
        )
        for k in range(count)
    )
