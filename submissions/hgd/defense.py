"""The high-level representation guided denoiser (Liao et al. 2018) before the natural classifier."""

from benchmark.defense import Defense
from benchmark.defense.stages import FilteredClassifier, LearnedFilter
from benchmark.models import NarrowResNet18
from benchmark.models.denoiser import DenoisingUNet
from benchmark.submission import BuildContext


def build(context: BuildContext) -> Defense:
    # The nodules of the embedded set are two or three pixels wide: no pooling in its stem.
    pool = context.dataset != "synthetic_cxr"
    network = NarrowResNet18(context.num_classes, context.channels, width=16, pool=pool)
    filtered = FilteredClassifier(DenoisingUNet(context.channels, (16, 32, 64)), network)
    whole = context.load_weights(filtered)
    return Defense(whole.classifier, context.num_classes, stages=[LearnedFilter(whole.filter)])
