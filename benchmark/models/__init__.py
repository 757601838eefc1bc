"""Architectures that recipes and submissions name."""

from collections.abc import Callable
from typing import Any

from torch import nn

from benchmark.errors import BenchError, did_you_mean
from benchmark.models.densenet import SmallDenseNet
from benchmark.models.mobilenet import SmallMobileNetV2
from benchmark.models.resnet import NarrowResNet18
from benchmark.models.vgg import SmallVgg

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "narrow-resnet18": NarrowResNet18,
    "small-densenet": SmallDenseNet,
    "small-mobilenetv2": SmallMobileNetV2,
    "small-vgg": SmallVgg,
}

__all__ = ["ARCHITECTURES", "NarrowResNet18", "SmallDenseNet", "SmallMobileNetV2", "SmallVgg", "build_network"]


def build_network(architecture: str, num_classes: int, channels: int, **options: Any) -> nn.Module:
    """Build an untrained network by its name.

    Raises:
        BenchError: the name is unknown.
    """
    if architecture not in ARCHITECTURES:
        raise BenchError(f"architecture '{architecture}' is unknown.{did_you_mean(architecture, ARCHITECTURES)}")
    return ARCHITECTURES[architecture](num_classes=num_classes, channels=channels, **options)
