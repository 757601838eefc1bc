"""Shapes with soft edges on a pixel grid, for the synthetic films."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def edge(distance: Array, width: float | Array) -> Array:
    """Return 1 where ``distance`` is well above 0 and 0 well below, with a soft edge of ``width``."""
    step = np.asarray(distance / width)
    np.tanh(step, out=step)
    step *= 0.5
    step += 0.5
    return step


def blob(x: Array, y: Array, at_x: Array, at_y: Array, radius: Array) -> Array:
    """Return a Gaussian bump of height 1 and standard deviation ``radius``."""
    square = np.square(x - at_x)
    square += np.square(y - at_y)
    square *= -0.5 / radius**2
    return np.asarray(np.exp(square, out=square))


def shrink(fine: Array, factor: int) -> Array:
    """Average blocks of ``factor`` x ``factor`` pixels: (B, size * factor, size * factor) to (B, size, size)."""
    count, size = fine.shape[0], fine.shape[-1] // factor
    return np.asarray(fine.reshape(count, size, factor, size, factor).mean(axis=(2, 4)))


def smooth_texture(coarse: Array, pixels: int) -> Array:
    """Interpolate (B, 16, 16) to (B, pixels, pixels) with cosine weights."""
    cells = coarse.shape[-1]
    at = (np.arange(pixels) + 0.5) / pixels * (cells - 1)
    low = np.minimum(np.floor(at).astype(int), cells - 2)
    part = 0.5 - 0.5 * np.cos(np.pi * (at - low))
    weights = np.zeros((pixels, cells))
    weights[np.arange(pixels), low] = 1.0 - part
    weights[np.arange(pixels), low + 1] += part
    return np.asarray(weights @ coarse @ weights.T)
