"""JPEG compression as a cushion before the classifier (Medical Aegis, section "Cushion"; default quality 80)."""

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from benchmark.defense.stage import Stage
from benchmark.randomness import Randomness


class Jpeg(Stage):
    """Compress and decompress each image with libjpeg.

    The backward pass is the identity, the BPDA that Medical Aegis attacks its Cushion with.

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

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to the decoded images in multiples of 1/255."""
        if images.shape[1] not in (1, 3):
            raise ValueError(f"JPEG takes 1 or 3 channels, not {images.shape[1]}")
        mode = ImageReadMode.GRAY if images.shape[1] == 1 else ImageReadMode.RGB
        bytes_ = (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        decoded = [decode_jpeg(encode_jpeg(image, quality=self.quality), mode=mode) for image in bytes_]
        return (torch.stack(decoded).float() / 255).to(images.device)
