"""What every published architecture here shares: a width, two stems, and the normalisation of its inputs."""

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from benchmark.errors import BenchError
from benchmark.models.normalise import Normalise

Stem = Literal["small", "medium", "large"]
"""``"large"`` divides the resolution by four early, as published for 224 pixels and more; ``"small"`` keeps it there,
without which 28 pixels end as a single point; ``"medium"`` halves it once, at about a quarter of that cost."""

_EARLY = {"small": 1, "medium": 2, "large": 4}


class Published(nn.Module):
    """A network of the literature behind the normalisation of its inputs.

    Feature layers are named ``network.<name>``, with the names of the library that the network comes from.

    Args:
        network: maps normalised images to logits.
        channels: input channels.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.
        smallest: least height and width in pixels at which every map still has a point.
    """

    def __init__(
        self,
        network: nn.Module,
        channels: int,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        smallest: int = 1,
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean or [0.5] * channels, std or [0.25] * channels)
        self.network = network
        self.smallest = smallest

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to logits (N, K).

        Raises:
            BenchError: the images are smaller than the stem allows.
        """
        height, width = images.shape[2:]
        if min(height, width) < self.smallest:
            raise BenchError(
                f"images of {height}x{width} pixels are too small for this network, which needs {self.smallest}; "
                'build it with stem = "medium" or "small".'
            )
        logits: Tensor = self.network(self.normalise(images))
        return logits


def early(stem: str) -> int:
    """By what the stem divides the resolution: 1, 2 or 4.

    Raises:
        BenchError: the stem is unknown.
    """
    if stem not in _EARLY:
        raise BenchError(f"stem '{stem}' is not offered. Use 'small', 'medium' or 'large'.")
    return _EARLY[stem]


def first_convolution(channels: int, maps: int, stem: str) -> nn.Conv2d:
    """The residual networks' first convolution: 7x7 of stride 2 in the large stem, else 3x3 of stride 2 or 1.

    Raises:
        BenchError: the stem is unknown.
    """
    reduction = early(stem)
    if reduction == 4:
        return nn.Conv2d(channels, maps, 7, stride=2, padding=3, bias=False)
    return nn.Conv2d(channels, maps, 3, stride=reduction, padding=1, bias=False)


def first_pool(stem: str) -> nn.Module:
    """The max-pool that follows it, in the large stem only."""
    return nn.MaxPool2d(3, stride=2, padding=1) if early(stem) == 4 else nn.Identity()


def scaled(maps: int, width: float) -> int:
    """Number of maps of a layer that has ``maps`` at width 1, rounded.

    Raises:
        BenchError: none is left, or the width is not above 0.
    """
    number = round(maps * width)
    if not width > 0 or number < 1:
        raise BenchError(f"width {width} leaves no maps of {maps}. Use a multiplier of at least {1 / maps:g}.")
    return number


def choice(table: Mapping[int, object], depth: int, family: str) -> None:
    """Make sure that a family has a member of that depth.

    Raises:
        BenchError: it has none.
    """
    if depth not in table:
        raise BenchError(f"{family}'s depth {depth} is not offered. Use {' or '.join(map(str, sorted(table)))}.")


def start_convolutions(network: nn.Module) -> None:
    """Draw the weights of all convolutions as He et al. 2015 do, by what leaves them; biases begin at zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
