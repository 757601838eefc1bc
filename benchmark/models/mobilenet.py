"""MobileNetV2 for small images: the family that the no-box surrogates come from (survey, section on transfer)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import MobileNetV2

from benchmark.errors import BenchError
from benchmark.models.normalise import Normalise


class SmallMobileNetV2(nn.Module):
    """torchvision's MobileNetV2, narrow and with a stem for one or three channels.

    Args:
        num_classes: K.
        channels: input channels.
        width: torchvision's width multiplier.
        reduction: the network's total stride, 32 as published, 16 or 8: the first groups keep their resolution, without
            which a 32-pixel image ends as a single point.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        width: float = 0.35,
        reduction: int = 32,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean or [0.5] * channels, std or [0.25] * channels)
        self.network = MobileNetV2(num_classes, width_mult=width, inverted_residual_setting=_groups(reduction))
        first = self.network.features[0][0]
        self.network.features[0][0] = nn.Conv2d(channels, first.out_channels, 3, stride=2, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.network(self.normalise(images))
        return logits


def _groups(reduction: int) -> list[list[int]]:
    """Table 2 of Sandler et al. 2018 (expansion, channels, blocks, stride), coarse strides taken out from the front."""
    groups = [
        [1, 16, 1, 1],
        [6, 24, 2, 2],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    if reduction not in (8, 16, 32):
        raise BenchError(f"MobileNetV2's reduction {reduction} is not offered. Use 8, 16 or 32.")
    strided = [group for group in groups if group[3] == 2]
    for group in strided[: (32 // reduction).bit_length() - 1]:
        group[3] = 1
    return groups
