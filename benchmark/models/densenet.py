"""DenseNet for small images (Huang et al. 2017): every layer sees the maps of all before it."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import DenseNet as TorchvisionDenseNet

from benchmark.errors import BenchError
from benchmark.models.normalise import Normalise
from benchmark.models.published import Published, Stem, early, first_convolution, first_pool, scaled


class DenseNet(TorchvisionDenseNet):  # type: ignore[misc]
    """torchvision's, its last ReLU a module like the others, so that feature enhancement finds all of them.

    Args:
        growth, blocks, maps: torchvision's ``growth_rate``, ``block_config`` and ``num_init_features``.
        num_classes: K.
    """

    def __init__(self, growth: int, blocks: tuple[int, int, int, int], maps: int, num_classes: int) -> None:
        super().__init__(growth, blocks, maps, num_classes=num_classes)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images to logits (N, K)."""
        maps = nn.functional.adaptive_avg_pool2d(self.relu(self.features(images)), (1, 1))
        logits: Tensor = self.classifier(maps.flatten(1))
        return logits


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


class DenseNet121(Published):
    """torchvision's DenseNet-121 (Huang et al. 2017), which with 14 classes is CheXNet (Rajpurkar et al. 2017).

    At width 1 with the large stem torchvision's weights fit ``network``. Feature layers:
    ``network.features.denseblock1`` to ``network.features.denseblock4``.

    Args:
        num_classes: K.
        channels: input channels.
        width: multiplier of the growth, 32 at width 1, and with it of every layer's maps.
        stem: "large" is 7x7 of stride 2 and a max-pool; "medium" and "small" are 3x3 of stride 2 and 1 without a pool.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.

    Raises:
        BenchError: another stem, or a width that leaves no growth.
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
        growth = scaled(32, width)
        network = DenseNet(growth, (6, 12, 24, 16), 2 * growth, num_classes=num_classes)
        network.features.conv0 = first_convolution(channels, 2 * growth, stem)
        network.features.pool0 = first_pool(stem)
        nn.init.kaiming_normal_(network.features.conv0.weight)
        # Three transitions halve and round down: the first dense block must leave them 8 pixels.
        super().__init__(network, channels, mean, std, smallest=8 * early(stem) - early(stem) + 1)
