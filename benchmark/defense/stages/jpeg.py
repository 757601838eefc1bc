"""JPEG compression as a cushion before the classifier (Medical Aegis, section "Cushion"; default quality 80)."""

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmark.defense.stage import Stage
from benchmark.defense.stages.smooth_jpeg import smooth_jpeg
from benchmark.randomness import Randomness


class Jpeg(Stage):
    """Compress and decompress each image with libjpeg, through Pillow.

    Its backward pass is the gradient of :func:`benchmark.defense.stages.smooth_jpeg.smooth_jpeg`. The identity, with
    which Medical Aegis attacks its Cushion, is tried beside it, as for every stage that declares another.

    Args:
        quality: libjpeg's quality, 1 to 100.

    Raises:
        ValueError: quality out of range, or images with other than 1 or 3 channels.
    """

    differentiable = False

    def __init__(self, quality: int = 80) -> None:
        super().__init__()
        if not 1 <= quality <= 100:
            raise ValueError(f"JPEG quality must be 1 to 100, not {quality}")
        self.quality = quality

    def stand_in(self, images: Tensor, draw: Randomness) -> Tensor:
        """The images smoothly compressed."""
        del draw
        return smooth_jpeg(images, self.quality)

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to the decoded images in multiples of 1/255."""
        if images.shape[1] not in (1, 3):
            raise ValueError(f"JPEG takes 1 or 3 channels, not {images.shape[1]}")
        pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        decoded = np.stack([self._through_file(image) for image in pixels]) if len(pixels) else pixels
        return (torch.from_numpy(decoded).permute(0, 3, 1, 2).float() / 255).to(images.device)

    def _through_file(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Encode and decode one (H, W, C) image in memory."""
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=self.quality)
        return np.asarray(Image.open(file)).reshape(pixels.shape)
