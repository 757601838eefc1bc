"""How many images go through a defense at once: so many pixels at most, and half of that when memory runs out."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

LOG = logging.getLogger(__name__)

Result = TypeVar("Result")

MESSAGES = ("can't allocate memory", "CUDA out of memory")
"""What torch's allocators say; the one for the CPU in a plain RuntimeError, a host passes the words of either on."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an attack or a defense asked for more memory than there is; half of the images may fit."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in MESSAGES)


class Batches:
    """Cuts images into batches; verdicts do not depend on where.

    Args:
        pixels: pixels (height times width) of one image.
        most_pixels: of a batch; one image may have more.
        most_images: of a batch; None for any number.
    """

    def __init__(self, pixels: int, most_pixels: int, most_images: int | None = None) -> None:
        size = max(1, most_pixels // pixels)
        self.size = size if most_images is None else min(size, most_images)

    def over(
        self,
        images: Sequence[int],
        work: Callable[[list[int]], Sequence[Result]],
        failed: Callable[[list[int], BaseException], Sequence[Result]] | None = None,
    ) -> list[Result]:
        """Return what ``work`` makes of each image.

        A batch that runs out of memory is tried again in halves, and all later ones have the smaller size.

        Args:
            images: numbers of images.
            work: maps a batch to one result per image.
            failed: what to make of a batch whose work raised; without it the error is passed on.
        """
        found: list[Result] = []
        start = 0
        while start < len(images):
            batch = list(images[start : start + self.size])
            try:
                found += work(batch)
            except (Exception, SystemExit) as error:
                if is_out_of_memory(error) and len(batch) > 1:
                    self.size = len(batch) // 2
                    LOG.warning("out of memory with %d images at once; going on with %d", len(batch), self.size)
                elif failed is None:
                    raise
                else:
                    found += failed(batch, error)
                    start += len(batch)
            else:
                start += len(batch)
                continue
            if torch.cuda.is_available():
                # Outside the handler, whose error holds the frames and their tensors.
                torch.cuda.empty_cache()
        return found
