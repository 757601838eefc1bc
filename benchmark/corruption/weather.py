"""Snow and spatter. Their layers are drawn once per image; frames move or grow them."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmark.corruption.catalogue import REFERENCE_SIZE, Course
from benchmark.corruption.droplets import droplet_mask
from benchmark.corruption.pixels import (
    LUMA,
    Taps,
    filtered,
    gaussian_blurred,
    luminance,
    motion_taps,
    placed,
    relative_size,
    truncated,
)
from benchmark.corruption.warp import stretched

# Width of a snow flake in reference pixels.
_FLAKE = 3

_TURQUOISE = (175 / 255, 238 / 255, 238 / 255)

# Liquid: mean, spread, smoothing in reference pixels, and the level below which a pixel is dry.
_LIQUID_MEAN, _LIQUID_SPREAD, _LIQUID_SIGMA, _LIQUID_LEVEL = 0.65, 0.27, 3.7, 0.69
# Share of a liquid pixel that a frame moves down by -1, 0, 1, 2 reference pixels.
_DRIP = (0.05, 0.1, 0.15, 0.7)
_OPACITY = 0.6
# Below this side length droplets would be smaller than a pixel, and edges and relief meaningless.
_LEAST_GRID = 56


def snow(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Whiten the scene and let a layer of flakes and its half-turn fall, direction turning 4 degrees a frame from -150.

    Released: 0.85 x + 0.15 max(x, 1.5 luminance + 0.5) + flakes + turned flakes, all at full strength. Paper: the
    whitening and the flakes grow in equal steps from nothing and reach the released strength in frame 20 at severity 3.
    Flakes are 3 reference pixels wide, but never less than a pixel.
    """
    size = relative_size(images)
    flakes = _flakes(images, course)
    whitened = torch.maximum(images, luminance(images) * 1.5 + 0.5)
    for step in course.steps:
        strength = course.strength(step)
        falling = truncated(filtered(flakes, motion_taps(size, radius=14, sigma=4, angle=4 * step - 150)))
        scene = images + (whitened - images) * (0.15 * strength)
        yield truncated(scene + (falling + falling.flip(-1, -2)) * strength)


def _flakes(images: Tensor, course: Course) -> Tensor:
    """Draw the layer (N, 1, H, W) in [0, 1]: N(0.05, 0.3) enlarged about the centre, dim pixels put out.

    Enlarging blends neighbours and so decides how many pixels stay lit. A smaller image is therefore rendered finer,
    with flakes of three pixels or more, and averaged, so that as much snow falls on it as on the reference.
    """
    size = relative_size(images)
    fine = min(_FLAKE, math.ceil(1 / size))
    zoom = max(1.0, _FLAKE * size) * fine
    height, width = images.shape[-2] * fine, images.shape[-1] * fine
    small = (1, math.ceil(height / zoom), math.ceil(width / zoom))
    layer = 0.05 + course.draw.normal(small, 0.3)
    tall, wide = round(small[1] * zoom), round(small[2] * zoom)
    top, left = (tall - height) // 2, (wide - width) // 2
    layer = stretched(layer, tall, wide)[..., top : top + height, left : left + width]
    return truncated(_averaged(torch.where(layer < 0.5, torch.zeros_like(layer), layer).clamp(max=1), fine))


def spatter(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Add droplets of pale turquoise that run down a little in every frame (cumulative).

    Released: opacity 0.6 throughout. Paper: the droplets run at the released pace, and their opacity grows in equal
    steps from nothing, reaching 0.6 in frame 20 at severity 3. One channel takes the colour's luminance. Images below
    56 px are rendered at the next multiple of their size and averaged, so that droplets keep their shape.
    """
    height, width = images.shape[-2:]
    enlarge = math.ceil(_LEAST_GRID / min(height, width))
    liquid = _liquid(course, height * enlarge, width * enlarge)
    size = min(height, width) * enlarge / REFERENCE_SIZE
    colour = _TURQUOISE if images.shape[1] == 3 else (sum(w * c for w, c in zip(LUMA, _TURQUOISE, strict=True)),)
    tint = torch.tensor(colour, device=images.device).view(1, -1, 1, 1)
    for step in course.steps:
        run = filtered(liquid, _drip_taps(step, size), border="constant")
        mask = _averaged(droplet_mask(run, size), enlarge)
        yield truncated(images + mask * (_OPACITY * course.strength(step)) * tint)


def _liquid(course: Course, height: int, width: int) -> Tensor:
    """Draw the layer (N, 1, height, width): smooth noise, dry (0) below a level.

    A smaller grid is smoothed over fewer pixels and so keeps more of the noise's spread; it is scaled to the spread
    that smoothing at the reference size leaves, so that the wet share is the same.
    """
    layer = gaussian_blurred(course.draw.normal((1, height, width)), _LIQUID_SIGMA, truncate=4.0)
    kept = _kept_spread(min(height, width))
    layer = _LIQUID_MEAN + layer * (_LIQUID_SPREAD * _kept_spread(REFERENCE_SIZE) / kept)
    return torch.where(layer < _LIQUID_LEVEL, torch.zeros_like(layer), layer)


def _kept_spread(side: int) -> float:
    """Standard deviation that unit white noise keeps under the liquid's smoothing on a grid of this side."""
    point = torch.zeros(1, 1, side, side)
    point[..., side // 2, side // 2] = 1
    return float(gaussian_blurred(point, _LIQUID_SIGMA, truncate=4.0).square().sum().sqrt())


def _drip_taps(times: int, size: float) -> Taps:
    """The drip of ``times`` frames in one filter: the drip kernel convolved with itself.

    The released code drips frame by frame and loses what crosses an edge; here it can come back, which changes up to a
    few per cent of a frame's pixels.
    """
    shares = np.ones(1)
    for _ in range(times):
        shares = np.convolve(shares, _DRIP)
    return placed((-(index - times) * size, 0.0, share) for index, share in enumerate(shares) if share > 1e-9)


def _averaged(layers: Tensor, block: int) -> Tensor:
    """Average layers (N, 1, H * block, W * block) over blocks."""
    total = torch.zeros_like(layers[..., ::block, ::block])
    for dy in range(block):
        for dx in range(block):
            total = total + layers[..., dy::block, dx::block]
    return total / block**2
