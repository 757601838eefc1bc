"""Inception-v3 (Szegedy et al. 2016) with a width, the network of the seed papers' retinopathy experiments."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision.models.inception import (
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionAux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

from benchmark.errors import BenchError
from benchmark.models.published import Published, Stem, early

STEP = 16
"""Every number of maps in the network is a multiple of this, so that these fractions narrow all of them exactly."""

COLOURS, FEATURES, INITIAL_STD = 3, 2048, 0.1
STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_4a_3x3")


class Convolution(BasicConv2d):  # type: ignore[misc]
    """torchvision's, its ReLU a module, so that feature enhancement finds it."""

    def __init__(self, before: int, after: int, **options: Any) -> None:
        super().__init__(before, after, **options)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve, normalise and rectify (N, C, H, W)."""
        rectified: Tensor = self.relu(self.bn(self.conv(maps)))
        return rectified


class ReductionB(InceptionB):  # type: ignore[misc]
    """torchvision's, its max-pool a module, so that feature enhancement finds it."""

    def __init__(self, before: int, conv_block: Callable[..., nn.Module]) -> None:
        super().__init__(before, conv_block)
        self.pool = nn.MaxPool2d(3, stride=2)

    def _forward(self, maps: Tensor) -> list[Tensor]:
        short = self.branch3x3(maps)
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(maps)))
        return [short, double, self.pool(maps)]


class ReductionD(InceptionD):  # type: ignore[misc]
    """torchvision's, its max-pool a module, so that feature enhancement finds it."""

    def __init__(self, before: int, conv_block: Callable[..., nn.Module]) -> None:
        super().__init__(before, conv_block)
        self.pool = nn.MaxPool2d(3, stride=2)

    def _forward(self, maps: Tensor) -> list[Tensor]:
        short = self.branch3x3_2(self.branch3x3_1(maps))
        long = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(maps))))
        return [short, long, self.pool(maps)]


class InceptionV3(Published):
    """torchvision's Inception-v3 without the auxiliary classifier, every convolution narrowed by the same factor.

    The auxiliary classifier only helps training and needs maps of 17x17. At width 1 with the large stem the rest of
    torchvision's weights fit ``network``. Feature layers: ``network.Mixed_5d``, ``network.Mixed_6e``,
    ``network.Mixed_7c``.

    Args:
        num_classes: K.
        channels: input channels.
        width: multiplier of every layer's maps, a whole number of sixteenths.
        stem: "large" is the published one, which reduces by eight without padding: 75 pixels at least, smaller images
            are refused. "medium" gives its pools up, pads, and needs 13 pixels; "small" gives its stride up too and
            needs 7.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.

    Raises:
        BenchError: another stem, or a width between sixteenths.
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
        sixteenths = width * STEP
        if not width > 0 or sixteenths != int(sixteenths):
            raise BenchError(f"Inception-v3's width {width} is no whole number of sixteenths. Use 0.125 or 0.25, say.")

        def convolution(before: int, after: int, **options: Any) -> nn.Module:
            # The stem alone takes colours, whose number is not a width.
            number = channels if before == COLOURS else before * int(sixteenths) // STEP
            return Convolution(number, after * int(sixteenths) // STEP, **options)

        kinds = (InceptionA, ReductionB, InceptionC, ReductionD, InceptionE, InceptionAux)
        network = Inception3(
            num_classes,
            aux_logits=False,
            inception_blocks=[convolution, *(partial(kind, conv_block=convolution) for kind in kinds)],
            init_weights=True,
        )
        network.fc = nn.Linear(FEATURES * int(sixteenths) // STEP, num_classes)
        nn.init.trunc_normal_(network.fc.weight, std=INITIAL_STD)
        if reduction < 4:
            network.maxpool1 = network.maxpool2 = nn.Identity()
            for name in STEM:
                getattr(network, name).conv.padding = (1, 1)
            network.Conv2d_1a_3x3.conv.stride = (reduction, reduction)
        super().__init__(network, channels, mean, std, smallest={1: 7, 2: 13, 4: 75}[reduction])
