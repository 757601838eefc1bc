"""How many images go through a network at once: what its layers hold grows with the pixels."""

from torch import Tensor

from benchmark.data.images import ImageSource


def images_per_pass(images: Tensor | ImageSource, pixels: int) -> int:
    """Return how many images of the size of these (N, C, H, W) have at most so many pixels (H W each); at least one."""
    height, width = int(images.shape[2]), int(images.shape[3])
    return max(1, pixels // (height * width))
