"""Wide residual networks (Zagoruyko & Komodakis 2016), the family that adversarial training is mostly measured on."""

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from benchmark.bridges import robustbench
from benchmark.errors import BenchError
from benchmark.models.published import Published, Stem, first_convolution, first_pool


class WideResNet(Published):
    """RobustBench's WideResNet, by default WRN-28-10, with a mean over what is left instead of its 8x8 pool.

    The stem takes any number of channels and the images any size; otherwise layers, names and initialisation are
    RobustBench's. Its import takes seconds and happens when the first such network is built. Feature layers:
    ``network.block1`` to ``network.block3``.

    Args:
        num_classes: K.
        channels: input channels.
        width: the paper's widening factor k, a whole number: the groups have 16k, 32k and 64k maps.
        depth: the paper's depth, 6n + 4: 10, 16, 22, 28, 34, ...
        stem: "small" is the published 3x3 of stride 1; "medium" has stride 2, and "large" is ImageNet's 7x7 of stride 2
            and a max-pool.
        mean, std: normalisation of the inputs, one value per channel; loaded weights bring their own.

    Raises:
        BenchError: another stem, depth or width.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        width: int = 10,
        depth: int = 28,
        stem: Stem = "small",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        if width < 1 or width != int(width):
            raise BenchError(f"a wide residual network's width {width} is not offered. Use a whole number from 1 on.")
        if depth < 10 or depth % 6 != 4:
            raise BenchError(f"a wide residual network's depth {depth} is not 6n + 4. Use 10, 16, 22, 28 or 34.")
        published = robustbench.architecture(
            "wide_resnet.WideResNet", depth=depth, num_classes=num_classes, widen_factor=int(width)
        )
        parts: dict[str, nn.Module] = dict(published.named_children())
        first = first_convolution(channels, 16, stem)
        nn.init.normal_(first.weight, std=math.sqrt(2 / (first.kernel_size[0] ** 2 * first.out_channels)))
        network = nn.Sequential(
            OrderedDict(
                conv1=first,
                maxpool=first_pool(stem),
                block1=parts["block1"],
                block2=parts["block2"],
                block3=parts["block3"],
                bn1=parts["bn1"],
                relu=parts["relu"],
                avgpool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                fc=parts["fc"],
            )
        )
        super().__init__(network, channels, mean, std)
