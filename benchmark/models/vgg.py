"""VGG for small images (Simonyan & Zisserman 2015): plain stacks of 3x3 convolutions, no shortcut anywhere."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from benchmark.errors import BenchError
from benchmark.models.normalise import Normalise
from benchmark.models.published import Published, Stem, choice, early, scaled, start_convolutions

TABLES = {11: "A", 13: "B"}
"""Columns of the paper's table 1, by depth."""

DEEP_TABLES = {16: "D", 19: "E"}
"""The same for the depths that stand for the published networks."""


class SmallVgg(nn.Module):
    """torchvision's VGG-11 or VGG-13 with batch normalisation, narrow, and with the first ``pools`` of its five pools.

    Three pools leave 3x3 of 28 pixels and 4x4 of 32; five would leave one point, or none. A mean over what is left and
    one linear layer stand for the paper's three, which hold nine tenths of its weights.

    Args:
        num_classes: K.
        channels: input channels.
        depth: 11 or 13.
        width: channels of the first stack; the next have 2, 4, 8 and 8 times as many (64 as published).
        pools: pools kept, 1 to 5.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.

    Raises:
        BenchError: another depth, or another number of pools.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        depth: int = 11,
        width: int = 16,
        pools: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if depth not in TABLES:
            raise BenchError(f"VGG's depth {depth} is not offered. Use 11 or 13.")
        if not 1 <= pools <= 5:
            raise BenchError(f"VGG's number of pools is {pools}. Use 1 to 5.")
        self.normalise = Normalise(mean or [0.5] * channels, std or [0.25] * channels)
        self.features = make_layers(_layers(depth, width, pools), batch_norm=True)
        self.features[0] = nn.Conv2d(channels, width, 3, padding=1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.head(self.features(self.normalise(images)))
        return logits


class Vgg(Published):
    """VGG-16 or VGG-19 (Simonyan & Zisserman 2015, table 1, columns D and E) from torchvision's layers and names.

    At width 1 with the published head torchvision's weights fit ``network``. Feature layers: ``network.features.<i>``.

    Args:
        depth: 16 or 19.
        num_classes: K.
        channels: input channels.
        width: multiplier of every layer's maps; 1 has 64 in the first stack.
        stem: "large" has the five pools, for 32 pixels and more; "medium" leaves out the first, for 16 and more;
            "small" the first two, for 8 and more.
        head: "linear" is a mean over positions and one linear layer; "published" has the paper's two hidden layers of
            4096 times width, after a 7x7 pool, with dropout.
        batch_norm: whether each convolution is followed by a batch normalisation; the paper has none.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.

    Raises:
        BenchError: another depth, stem or head, or a width that leaves no maps.
    """

    def __init__(
        self,
        depth: int,
        /,
        num_classes: int,
        channels: int = 1,
        width: float = 1.0,
        stem: Stem = "small",
        head: Literal["linear", "published"] = "linear",
        batch_norm: bool = True,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        choice(DEEP_TABLES, depth, "VGG")
        if head not in ("linear", "published"):
            raise BenchError(f"VGG's head '{head}' is not offered. Use 'linear' or 'published'.")
        base = scaled(64, width)
        pooled: nn.Module = nn.AdaptiveAvgPool2d(1)
        classifier: nn.Module = nn.Linear(8 * base, num_classes)
        if head == "published":
            pooled = nn.AdaptiveAvgPool2d(7)
            classifier = nn.Sequential(
                nn.Linear(8 * base * 7 * 7, 64 * base),
                nn.ReLU(inplace=True),
                nn.Dropout(),
                nn.Linear(64 * base, 64 * base),
                nn.ReLU(inplace=True),
                nn.Dropout(),
                nn.Linear(64 * base, num_classes),
            )
        network = nn.Sequential(
            OrderedDict(
                features=stacks(cfgs[DEEP_TABLES[depth]], channels, base, stem, batch_norm),
                avgpool=pooled,
                flatten=nn.Flatten(),
                classifier=classifier,
            )
        )
        super().__init__(network, channels, mean, std, smallest=8 * early(stem))
        for module in classifier.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)


def stacks(table: Sequence[str | int], channels: int, base: int, stem: Stem, batch_norm: bool = True) -> nn.Sequential:
    """Stacks of 3x3 convolutions, under torchvision's names.

    Args:
        table: maps of each convolution where the first stack has 64, and "M" for a pool.
        channels: input channels.
        base: maps of the first stack.
        stem: "medium" replaces the first pool by nothing, "small" the first two; their places are kept.
        batch_norm: whether a batch normalisation follows each convolution.

    Raises:
        BenchError: another stem.
    """
    removed = {1: 2, 2: 1, 4: 0}[early(stem)]
    layers: nn.Sequential = make_layers(
        [layer if isinstance(layer, str) else layer * base // 64 for layer in table], batch_norm=batch_norm
    )
    layers[0] = nn.Conv2d(channels, base, 3, padding=1)
    pools = [index for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    for index in pools[:removed]:
        layers[index] = nn.Identity()
    start_convolutions(layers)
    return layers


def _layers(depth: int, width: int, pools: int) -> list[str | int]:
    layers: list[str | int] = []
    kept = 0
    for layer in cfgs[TABLES[depth]]:
        if layer != "M":
            layers.append(int(layer) * width // 64)
        elif kept < pools:
            layers.append("M")
            kept += 1
    return layers
