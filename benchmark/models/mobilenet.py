"""MobileNetV2 for small images: the family that the no-box surrogates come from (survey, section on transfer)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import MobileNetV2 as TorchvisionMobileNetV2

from benchmark.errors import BenchError
from benchmark.models.normalise import Normalise
from benchmark.models.published import Published, Stem, early, start_convolutions


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
        self.network = TorchvisionMobileNetV2(
            num_classes, width_mult=width, inverted_residual_setting=_groups(reduction)
        )
        first = self.network.features[0][0]
        self.network.features[0][0] = nn.Conv2d(channels, first.out_channels, 3, stride=2, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.network(self.normalise(images))
        return logits


class MobileNetV2(Published):
    """torchvision's MobileNetV2 (Sandler et al. 2018), whose weights fit ``network`` at width 1.

    Feature layers: ``network.features.0`` to ``network.features.18``.

    Args:
        num_classes: K.
        channels: input channels.
        width: the paper's multiplier; torchvision rounds maps to multiples of 8 and never narrows the last 1280.
        stem: the 3x3 stem has stride 2 in "large" and 1 in "medium" and "small", where "small" keeps the first strided
            group's resolution too: a total stride of 32, 16 or 8.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.

    Raises:
        BenchError: another stem, or a width that is not above 0.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        width: float = 1.0,
        stem: Stem = "small",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        reduction = early(stem)
        if not width > 0:
            raise BenchError(f"MobileNetV2's width {width} is not above 0. Use 1 for the published network.")
        groups = _groups(16 if reduction == 1 else 32)
        network = TorchvisionMobileNetV2(num_classes, width_mult=width, inverted_residual_setting=groups)
        first = network.features[0]
        first[0] = nn.Conv2d(
            channels, first[0].out_channels, 3, stride=2 if reduction == 4 else 1, padding=1, bias=False
        )
        start_convolutions(first)
        super().__init__(network, channels, mean, std)


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
