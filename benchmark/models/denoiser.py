"""The denoiser of Liao et al. 2018 ("DUNET", section 3.2): a U-Net that predicts the perturbation, not the image."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.errors import BenchError


class DenoisingUNet(nn.Module):
    """Image in, image plus a learnt correction out; the correction is zero before any training.

    As described: 3x3 convolutions with batch normalisation and ReLU, coarser levels by a stride of 2, on the way back
    each level sees what went down at it, and one 1x1 convolution at the end. Far smaller: two convolutions a level down
    and one a level up, where the paper has two to three and 64 to 256 channels.

    Args:
        channels: of the images.
        widths: channels of each level, finest first; at least two levels.

    Raises:
        BenchError: fewer than two levels, or a width that is not positive.
    """

    def __init__(self, channels: int = 1, widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise BenchError(f"the denoiser's widths {list(widths)} must be two or more positive numbers.")
        sizes = [channels, *widths]
        self.down = nn.ModuleList(
            nn.Sequential(_block(before, after, stride=1 if level == 0 else 2), _block(after, after))
            for level, (before, after) in enumerate(itertools.pairwise(sizes))
        )
        self.up = nn.ModuleList(_block(coarse + fine, fine) for fine, coarse in itertools.pairwise(widths))
        self.correction = nn.Conv2d(widths[0], channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.get_parameter("bias"))

    def forward(self, images: Tensor) -> Tensor:
        """Denoise (N, C, H, W) images in [0, 1]; the result is not clipped."""
        flow, finer = images - 0.5, []
        for level in self.down:
            flow = level(flow)
            finer.append(flow)
        finer.pop()
        for level in reversed(self.up):
            skip = finer.pop()
            flow = level(torch.cat([F.interpolate(flow, size=skip.shape[2:], mode="nearest"), skip], dim=1))
        denoised: Tensor = images + self.correction(flow)
        return denoised


def _block(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )
