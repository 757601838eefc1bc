"""Blurs. Lengths are in reference pixels (see :data:`benchmark.corruption.catalogue.REFERENCE_SIZE`)."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from benchmark.corruption.catalogue import Course
from benchmark.corruption.pixels import (
    filtered,
    gaussian_blurred,
    motion_taps,
    relative_size,
    truncated,
)
from benchmark.corruption.warp import affine


def gaussian_blur(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Blur with sigma = 0.25 + 0.035 i px (released); sigma = 0.035 * factor * k from the clean image on (paper)."""
    for step in course.steps:
        yield truncated(gaussian_blurred(images, course.value(step), truncate=6.0))


def motion_blur(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Blur along a direction that turns 4 degrees a frame, starting at -120 degrees.

    Released: radius 10, sigma 3 in every frame. Paper: radius and sigma grow in equal steps from nothing and reach the
    released ones in frame 20 at severity 3; the direction turns as released at every severity.
    """
    size = relative_size(images)
    for step in course.steps:
        strength = course.strength(step)
        taps = motion_taps(size, radius=10 * strength, sigma=3 * strength, angle=4 * step - 120)
        yield truncated(filtered(images, taps))


def zoom_blur(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Average the clean image with its enlargements by 1 + 0.004 * factor * k for k = 1 ... i (cumulative).

    Frame 0 is clean in both modes.
    """
    total, height, width = images, *images.shape[-2:]
    for step in course.steps:
        if step:
            zoom = 1 + 0.004 * course.factor * step
            matrix = np.array([[1 / zoom, 0.0, 0.0], [0.0, 1 / zoom, 0.0]])
            total = total + truncated(affine(matrix, height, width)(images))
        yield truncated(total / (step + 1)) if step else images
