"""No defense: AG-Sononet-16, trained on clean images."""

from benchmark.defense import Defense
from benchmark.models import AgSononet
from benchmark.submission import BuildContext


def build(context: BuildContext) -> Defense:
    network = AgSononet(context.num_classes, context.channels, width=0.5, stem="large")
    return Defense(context.load_weights(network), context.num_classes)
