"""A narrow ResNet-18 whose ReLUs end at 1, trained by PGD-AT."""

from benchmark.defense import Defense
from benchmark.defense.surgery import with_bounded_relu
from benchmark.models import NarrowResNet18
from benchmark.submission import BuildContext


def build(context: BuildContext) -> Defense:
    network = NarrowResNet18(context.num_classes, context.channels, width=16)
    return Defense(context.load_weights(with_bounded_relu(network, bound=1.0)), context.num_classes)
