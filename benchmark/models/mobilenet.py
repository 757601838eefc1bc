"""MobileNetV2 for small images: the family that the no-box surrogates come from (survey, section on transfer)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import MobileNetV2

from benchmark.models.normalise import Normalise


class SmallMobileNetV2(nn.Module):
    """torchvision's MobileNetV2, narrow and with a stem for one or three channels.

    Args:
        num_classes: K.
        channels: input channels.
        width: torchvision's width multiplier.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        width: float = 0.35,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean or [0.5] * channels, std or [0.25] * channels)
        self.network = MobileNetV2(num_classes=num_classes, width_mult=width)
        first = self.network.features[0][0]
        self.network.features[0][0] = nn.Conv2d(channels, first.out_channels, 3, stride=2, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.network(self.normalise(images))
        return logits
