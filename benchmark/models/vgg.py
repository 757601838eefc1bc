"""VGG for small images (Simonyan & Zisserman 2015): plain stacks of 3x3 convolutions, no shortcut anywhere."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from benchmark.errors import BenchError
from benchmark.models.normalise import Normalise

TABLES = {11: "A", 13: "B"}
"""Columns of the paper's table 1, by depth."""


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
