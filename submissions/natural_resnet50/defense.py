"""No defense: ResNet-50, trained on clean images."""

from benchmark.defense import Defense
from benchmark.models import ResNet
from benchmark.submission import BuildContext


def build(context: BuildContext) -> Defense:
    network = ResNet(50, context.num_classes, context.channels, width=0.1875, stem="large")
    return Defense(context.load_weights(network), context.num_classes)
