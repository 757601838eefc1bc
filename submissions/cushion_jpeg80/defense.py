"""Medical Aegis's Cushion: JPEG at quality 80 before the natural classifier."""

from benchmark.defense import Defense
from benchmark.defense.stages import Jpeg
from benchmark.models import NarrowResNet18
from benchmark.submission import BuildContext


def build(context: BuildContext) -> Defense:
    network = NarrowResNet18(context.num_classes, context.channels, width=16)
    return Defense(context.load_weights(network), context.num_classes, stages=[Jpeg(quality=80)])
