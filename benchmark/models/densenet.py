"""DenseNet for small images (Huang et al. 2017): every layer sees the maps of all before it."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import DenseNet

from benchmark.errors import BenchError
from benchmark.models.normalise import Normalise


class SmallDenseNet(nn.Module):
    """torchvision's DenseNet-BC, small: a 3x3 stem without a pool, four short dense blocks, compression one half.

    Args:
        num_classes: K.
        channels: input channels.
        growth: maps that each layer adds (32 as published).
        blocks: layers of the four dense blocks (6, 12, 24, 16 in DenseNet-121).
        stride: stride of the stem, 1 or 2; the network's total stride is 8 times that.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.

    Raises:
        BenchError: not four blocks, or another stride.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        growth: int = 12,
        blocks: Sequence[int] = (3, 4, 6, 4),
        stride: int = 2,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if len(blocks) != 4:
            raise BenchError(f"DenseNet's blocks {list(blocks)} are {len(blocks)}. Give four numbers of layers.")
        if stride not in (1, 2):
            raise BenchError(f"DenseNet's stem stride {stride} is not offered. Use 1 or 2.")
        self.normalise = Normalise(mean or [0.5] * channels, std or [0.25] * channels)
        first, second, third, fourth = blocks
        self.network = DenseNet(growth, (first, second, third, fourth), 2 * growth, num_classes=num_classes)
        self.network.features.conv0 = nn.Conv2d(channels, 2 * growth, 3, stride=stride, padding=1, bias=False)
        self.network.features.pool0 = nn.Identity()
        nn.init.kaiming_normal_(self.network.features.conv0.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.network(self.normalise(images))
        return logits
