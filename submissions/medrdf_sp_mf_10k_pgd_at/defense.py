"""MedRDF over the PGD-AT classifier: noise and median filter on up to 10 000 copies, then a vote that may abstain."""

from benchmark.defense import Defense
from benchmark.defense.stages import BinomialVote, MedianFilter, SaltAndPepper
from benchmark.models import NarrowResNet18
from benchmark.submission import BuildContext


def build(context: BuildContext) -> Defense:
    # The nodules of the embedded set are two or three pixels wide: no pooling in its stem.
    pool = context.dataset != "synthetic_cxr"
    network = NarrowResNet18(context.num_classes, context.channels, width=16, pool=pool)
    return Defense(
        context.load_weights(network),
        context.num_classes,
        stages=[SaltAndPepper(level=0.1), MedianFilter()],
        vote=BinomialVote(copies=10_000, alpha=0.001),
    )
