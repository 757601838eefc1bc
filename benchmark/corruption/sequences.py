"""Robust-Benchmark v1: 14 perturbation sequences at five severities, frame by frame or as one tensor."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmark.corruption import blur, digital, noise, weather
from benchmark.corruption.catalogue import (
    PERTURBATIONS,
    Course,
    Mode,
    check_mode,
    check_name,
    check_severity,
)
from benchmark.errors import BenchError
from benchmark.randomness import Randomness

_ROOMS = (noise, blur, weather, digital)
_MAKERS: dict[str, Callable[[Tensor, Course], Iterator[Tensor]]] = {
    name: getattr(room, name) for name in PERTURBATIONS for room in _ROOMS if hasattr(room, name)
}


def frames(name: str, images: Tensor, severity: int, draw: Randomness, mode: Mode = "paper") -> Iterator[Tensor]:
    """Make a sequence frame by frame.

    Args:
        name: one of :data:`benchmark.corruption.PERTURBATIONS`.
        images: (N, C, H, W), float32 in [0, 1], C = 1 or 3.
        severity: 1 ... 5; scales the step. Severity 3 has the released code's step.
        draw: one stream per image; the sequence draws from a fork of it, so what was drawn before does not matter.
            All severities draw the same numbers.
        mode: "paper" gives 21 frames that begin with the clean image (Figure 4: n = 0 ... 20). "released-code" gives
            the ten frames that the released code writes, at its one strength whatever ``severity`` says.

    Returns:
        An iterator of frames (N, C, H, W), float32 in [0, 1]. In paper mode frame 0 is ``images`` itself, bit for bit;
        other frames stand on 8-bit levels, cut or rounded as the released code does.

    Raises:
        BenchError: unknown name, severity or mode, or images of another kind.
    """
    check_name(name)
    check_severity(severity)
    check_mode(mode)
    _check_images(images, draw)
    made = _MAKERS[name](images, Course(name, severity, mode, draw.fork("corruption", name)))
    return _from_clean(images, made) if mode == "paper" else made


def sequence(name: str, images: Tensor, severity: int, draw: Randomness, mode: Mode = "paper") -> Tensor:
    """Make a whole sequence (N, F, C, H, W), F = 21 in paper mode, 10 in released-code mode; see :func:`frames`."""
    return torch.stack(list(frames(name, images, severity, draw, mode)), dim=1)


def _from_clean(images: Tensor, made: Iterator[Tensor]) -> Iterator[Tensor]:
    yield images
    yield from made


def _check_images(images: Tensor, draw: Randomness) -> None:
    shape = tuple(images.shape)
    if images.ndim != 4 or shape[1] not in (1, 3) or min(shape[2:]) < 2:
        raise BenchError(f"Corruptions need images of shape (N, 1 or 3, H, W), at least 2 px a side, got {shape}.")
    if images.dtype != torch.float32:
        raise BenchError(f"Corruptions need float32 images in [0, 1], got {images.dtype}; convert them first.")
    if draw.rows != len(images):
        raise BenchError(f"Corruptions need one random stream per image: {len(images)} images, {draw.rows} streams.")
    if draw.device.type != images.device.type:
        raise BenchError(f"Corruptions need images and streams on one device, got {images.device} and {draw.device}.")
    if len(images) and not (images.amin() >= 0 and images.amax() <= 1):
        raise BenchError("Corruptions need images in [0, 1] without NaN; divide 8-bit images by 255 first.")
