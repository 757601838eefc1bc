"""Noise: every frame is an independent draw around the clean image."""

from collections.abc import Iterator

from torch import Tensor

from benchmark.corruption.catalogue import Course
from benchmark.corruption.pixels import truncated


def gaussian_noise(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Add N(0, level**2); frame 0 is clean in both modes."""
    for step in course.steps:
        noise = course.draw.normal(images.shape[1:], course.level)
        yield truncated(images + noise) if step else images


def shot_noise(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Count photons, Poisson(level * x) / level; frame 0 is clean in both modes."""
    for step in course.steps:
        photons = course.draw.poisson(images * course.level)
        yield truncated(photons / course.level) if step else images


def speckle_noise(images: Tensor, course: Course) -> Iterator[Tensor]:
    """Multiply by 1 + N(0, level**2); frame 0 is clean in both modes."""
    for step in course.steps:
        noise = course.draw.normal(images.shape[1:], course.level)
        yield truncated(images + images * noise) if step else images
