"""Brightness and geometry.

The released code applies geometry to a 256-px image and then cuts out the central 224 px. Our data have no such margin:
geometry acts on the image itself, and black lies beyond it.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.corruption.catalogue import Course
from benchmark.corruption.pixels import relative_size, rounded, truncated
from benchmark.corruption.warp import affine, perspective


def brightness(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Shift V of HSV by -0.30 + 0.02 i (released); by +0.02 * factor * k (paper), clipped to [0, 1].

    Hue and saturation stay, so the channels scale by V'/V; a black pixel turns grey. One channel is its own V.
    """
    value = images.amax(dim=1, keepdim=True)
    for step in course.steps:
        shifted = (value + course.value(step)).clamp(0, 1)
        scaled = images / value.clamp(min=torch.finfo(images.dtype).tiny) * shifted
        yield truncated(torch.where(value > 0, scaled, shifted))


def translate(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Shift to the right by i - 20 px (released); by factor * k px (paper), in reference pixels.

    Whole-pixel shifts copy pixels, as the released nearest-neighbour shift does. Scaled shifts of smaller images fall
    between pixels and are interpolated; rounding them would leave most frames equal to the one before.
    """
    height, width = images.shape[-2:]
    size = relative_size(images)
    for step in course.steps:
        matrix = np.array([[1.0, 0.0, -course.value(step) * size], [0.0, 1.0, 0.0]])
        yield truncated(affine(matrix, height, width)(images))


def rotate(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Turn clockwise about the centre by i - 15 degrees (released); by factor * k degrees (paper)."""
    height, width = images.shape[-2:]
    for step in course.steps:
        angle = np.deg2rad(course.value(step))
        matrix = np.array([[np.cos(angle), np.sin(angle), 0.0], [-np.sin(angle), np.cos(angle), 0.0]])
        yield truncated(affine(matrix, height, width)(images))


def shear(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Shear rows sideways about the centre by i - 15 degrees (released); by factor * k degrees (paper).

    A positive angle moves the lower half to the left.
    """
    height, width = images.shape[-2:]
    for step in course.steps:
        matrix = np.array([[1.0, np.tan(np.deg2rad(course.value(step))), 0.0], [0.0, 1.0, 0.0]])
        yield truncated(affine(matrix, height, width)(images))


def scale(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Scale about the centre to 0.40 + 0.025 i (released); to 1 - 0.025 * factor * k (paper: shrinking)."""
    height, width = images.shape[-2:]
    for step in course.steps:
        matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) / course.value(step)
        yield truncated(affine(matrix, height, width)(images))


def tilt(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Tilt about both axes by i - 15 degrees (released); by factor * k degrees (paper).

    The image plane stands at focal distance sqrt(H**2 + W**2) before a pinhole camera. The released code puts it one
    (reference) pixel too far away, so that its sequence would not pass through the clean image; paper mode does not.
    """
    height, width = images.shape[-2:]
    excess = 0.0 if course.mode == "paper" else relative_size(images)
    for step in course.steps:
        matrix = _camera(np.deg2rad(course.value(step)), excess, height, width)
        yield rounded(perspective(matrix, height, width)(images))


def _camera(angle: float, excess: float, height: int, width: int) -> NDArray[np.float64]:
    """Map image pixels (x, y, 1) to homogeneous pixels after turning the plane about y, then about x, by ``angle``."""
    focal = float(np.hypot(width, height))
    cos, sin = np.cos(angle), np.sin(angle)
    plane = np.array([[1.0, 0.0, -width / 2], [0.0, 1.0, -height / 2], [0.0, 0.0, excess]])
    about_y = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    away = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, focal]])
    lens = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    view: NDArray[np.float64] = lens @ (about_x @ about_y @ plane + away)
    return view
