"""A bare narrow ResNet-18; what sets it apart is how it was trained (recipe.toml)."""

from benchmark.defense import Defense
from benchmark.models import NarrowResNet18
from benchmark.submission import BuildContext


def build(context: BuildContext) -> Defense:
    network = NarrowResNet18(context.num_classes, context.channels, width=16)
    return Defense(context.load_weights(network), context.num_classes)
