"""A narrow ResNet-18 whose max-pool is a drop-max layer, trained by PGD-AT."""

from benchmark.defense import Defense
from benchmark.defense.surgery import with_drop_max
from benchmark.models import NarrowResNet18
from benchmark.submission import BuildContext


def build(context: BuildContext) -> Defense:
    network = NarrowResNet18(context.num_classes, context.channels, width=16)
    return Defense(context.load_weights(with_drop_max(network)), context.num_classes)
