"""Reading images between their pixels, at places of each image's own; whole batches at once."""

import torch
from torch import Tensor


def resampled(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Read each image at the crossings of its own rows and columns, linearly between pixels.

    Args:
        images: (N, C, H, W).
        rows: (N, H') places in pixels, 0 being the middle of the first row; beyond the border its value repeats.
        columns: (N, W').

    Returns:
        (N, C, H', W'), differentiable in ``images``.
    """
    tall = _along(images, rows, 2)
    return _along(tall, columns, 3)


def _along(images: Tensor, places: Tensor, axis: int) -> Tensor:
    size = images.shape[axis]
    inside = places.clamp(0, size - 1)
    low = inside.floor()
    share = inside - low
    shape = [len(places), 1, 1, 1]
    shape[axis] = places.shape[1]
    wanted = list(images.shape)
    wanted[axis] = places.shape[1]
    before = low.long().reshape(shape).expand(wanted)
    after = (low + 1).clamp(max=size - 1).long().reshape(shape).expand(wanted)
    weight = share.reshape(shape)
    return images.gather(axis, before) * (1 - weight) + images.gather(axis, after) * weight


def places_in(source: Tensor | int, target: Tensor, length: int) -> Tensor:
    """Places in a source of so many pixels that the pixels of a resized copy stand for.

    Args:
        source: pixels of the source, one number or (N, 1).
        target: (N, 1) pixels of the copy.
        length: pixels asked for, L.

    Returns:
        (N, L): pixel i of the copy lies at (i + 1/2) * source / target - 1/2.
    """
    pixels = torch.arange(length, device=target.device) + 0.5
    return pixels * (source / target) - 0.5
