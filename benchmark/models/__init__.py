"""Architectures that recipes and submissions name."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from benchmark.errors import BenchError, did_you_mean
from benchmark.models.attnmel import AttnMel
from benchmark.models.densenet import DenseNet121, SmallDenseNet
from benchmark.models.inception import InceptionV3
from benchmark.models.mobilenet import MobileNetV2, SmallMobileNetV2
from benchmark.models.resnet import NarrowResNet18, ResNet
from benchmark.models.sononet import AgSononet
from benchmark.models.vgg import SmallVgg, Vgg
from benchmark.models.wide_resnet import WideResNet

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "ag-sononet16": AgSononet,
    "attnmel": AttnMel,
    "chexnet": DenseNet121,
    "densenet121": DenseNet121,
    "inception-v3": InceptionV3,
    "mobilenetv2": MobileNetV2,
    "narrow-resnet18": NarrowResNet18,
    "resnet18": partial(ResNet, 18),
    "resnet50": partial(ResNet, 50),
    "small-densenet": SmallDenseNet,
    "small-mobilenetv2": SmallMobileNetV2,
    "small-vgg": SmallVgg,
    "vgg16": partial(Vgg, 16),
    "vgg19": partial(Vgg, 19),
    "wide-resnet": WideResNet,
}

__all__ = [
    "ARCHITECTURES",
    "AgSononet",
    "AttnMel",
    "DenseNet121",
    "InceptionV3",
    "MobileNetV2",
    "NarrowResNet18",
    "ResNet",
    "SmallDenseNet",
    "SmallMobileNetV2",
    "SmallVgg",
    "Vgg",
    "WideResNet",
    "build_network",
    "options_of",
]


def options_of(architecture: str) -> list[str]:
    """Return what may be said of an architecture besides classes and channels."""
    return [
        name
        for name in inspect.signature(ARCHITECTURES[architecture]).parameters
        if name not in ("num_classes", "channels")
    ]


def build_network(architecture: str, num_classes: int, channels: int, **options: Any) -> nn.Module:
    """Build an untrained network by its name.

    Args:
        architecture: a key of :data:`ARCHITECTURES`.
        num_classes: K.
        channels: input channels.
        options: arguments of the architecture's class, such as ``width``.

    Raises:
        BenchError: the name or an option is unknown, or the architecture refuses a value.
    """
    if architecture not in ARCHITECTURES:
        raise BenchError(f"architecture '{architecture}' is unknown.{did_you_mean(architecture, ARCHITECTURES)}")
    build, known = ARCHITECTURES[architecture], options_of(architecture)
    for option in options:
        if option not in known:
            raise BenchError(f"architecture '{architecture}' has no option '{option}'.{did_you_mean(option, known)}")
    return build(num_classes=num_classes, channels=channels, **options)
