"""MedRDF: salt-and-pepper noise and a median filter on 100 copies, then a vote that abstains when it could be chance."""

from benchmark.defense import Defense
from benchmark.defense.stages import BinomialVote, MedianFilter, SaltAndPepper
from benchmark.models import NarrowResNet18
from benchmark.submission import BuildContext


def build(context: BuildContext) -> Defense:
    network = NarrowResNet18(context.num_classes, context.channels, width=16)
    return Defense(
        context.load_weights(network),
        context.num_classes,
        stages=[SaltAndPepper(level=0.1), MedianFilter()],
        vote=BinomialVote(copies=100, alpha=0.001),
    )
