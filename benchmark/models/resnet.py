"""Residual networks with a width multiplier (He et al. 2016), small enough for a two-core machine."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from benchmark.models.normalise import Normalise
from benchmark.models.published import (
    Published,
    Stem,
    choice,
    first_convolution,
    first_pool,
    scaled,
    start_convolutions,
)

BLOCKS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    50: (Bottleneck, (3, 4, 6, 3)),
}
"""Kind and number of blocks in the four groups (table 1), by depth."""


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


class ResNet(Published):
    """ResNet-18 or ResNet-50 (He et al. 2016, table 1) from torchvision's blocks and under torchvision's names.

    At width 1 with the large stem it computes what torchvision's does, whose weights fit ``network``. ResNet-50 has its
    stride in the 3x3 convolution, as torchvision has. Feature layers: ``network.layer1`` to ``network.layer4``.

    Args:
        depth: 18 or 50.
        num_classes: K.
        channels: input channels.
        width: multiplier of every layer's maps; 1 has 64 in the first group, of which at least one must remain.
        stem: "large" is 7x7 of stride 2 and a max-pool; "medium" and "small" are 3x3 of stride 2 and 1 without a pool.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.

    Raises:
        BenchError: another depth or stem, or a width that leaves no maps.
    """

    def __init__(
        self,
        depth: int,
        /,
        num_classes: int,
        channels: int = 1,
        width: float = 1.0,
        stem: Stem = "small",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        choice(BLOCKS, depth, "ResNet")
        block, numbers = BLOCKS[depth]
        base = scaled(64, width)
        layers: list[tuple[str, nn.Module]] = [
            ("conv1", first_convolution(channels, base, stem)),
            ("bn1", nn.BatchNorm2d(base)),
            ("relu", nn.ReLU(inplace=True)),
            ("maxpool", first_pool(stem)),
        ]
        before = base
        for index, number in enumerate(numbers):
            planes = base * 2**index
            after = planes * block.expansion
            blocks = [_block(block, before, planes, stride=1 if index == 0 else 2)]
            blocks += [block(after, planes) for _ in range(number - 1)]
            layers.append((f"layer{index + 1}", nn.Sequential(*blocks)))
            before = after
        layers += [
            ("avgpool", nn.AdaptiveAvgPool2d(1)),
            ("flatten", nn.Flatten()),
            ("fc", nn.Linear(before, num_classes)),
        ]
        super().__init__(nn.Sequential(OrderedDict(layers)), channels, mean, std)
        start_convolutions(self)


def _block(
    block: type[BasicBlock] | type[Bottleneck], before: int, planes: int, stride: int
) -> BasicBlock | Bottleneck:
    after = planes * block.expansion
    if stride == 1 and before == after:
        return block(before, planes)
    shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))
    return block(before, planes, stride=stride, downsample=shortcut)


def _group(before: int, planes: int, stride: int) -> BasicBlock:
    if stride == 1 and before == planes:
        return BasicBlock(before, planes)
    shortcut = nn.Sequential(nn.Conv2d(before, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes))
    return BasicBlock(before, planes, stride=stride, downsample=shortcut)
