"""Residual networks with a width multiplier (He et al. 2016), small enough for a two-core machine."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from benchmark.models.normalise import Normalise


class NarrowResNet18(nn.Module):
    """ResNet-18 with ``width`` instead of 64 channels in its first group.

    The stem is one 3x3 convolution of stride 2, for at 28 to 64 pixels a 7x7 convolution sees no more, and a max-pool.
    Without the pool small nodules stay visible, and every attack costs three times as much.

    Args:
        num_classes: K.
        channels: input channels.
        width: channels of the first group; the next have 2, 4 and 8 times as many.
        pool: whether the stem pools.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        width: int = 16,
        pool: bool = True,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean or [0.5] * channels, std or [0.25] * channels)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1) if pool else nn.Identity(),
        )
        groups: list[nn.Module] = []
        before = width
        for index in range(4):
            planes = width * 2**index
            groups += [_group(before, planes, stride=1 if index == 0 else 2), BasicBlock(planes, planes)]
            before = planes
        self.groups = nn.Sequential(*groups)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.head(self.groups(self.stem(self.normalise(images))))
        return logits


def _group(before: int, planes: int, stride: int) -> BasicBlock:
    if stride == 1 and before == planes:
        return BasicBlock(before, planes)
    shortcut = nn.Sequential(nn.Conv2d(before, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes))
    return BasicBlock(before, planes, stride=stride, downsample=shortcut)
