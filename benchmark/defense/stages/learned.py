"""Trained networks in front of a classifier: ComDefend and the high-level representation guided denoiser."""

import torch
from torch import Tensor, nn

from benchmark.defense.stage import Stage
from benchmark.defense.stages.clip import clipped
from benchmark.layout import laid_out
from benchmark.passes import images_per_pass
from benchmark.randomness import Randomness

_PIXELS_AT_ONCE = 1 << 15
"""Filters keep the resolution, so that a whole batch's activations leave a processor's cache and its free memory."""


class LearnedFilter(Stage):
    """Pass images through a network from images to images, and clip to [0, 1].

    The gradient is autograd's through the network. Of :class:`benchmark.models.comdefend.ComDefend` that includes the
    substitute which the network has for its binary step; :class:`benchmark.models.denoiser.DenoisingUNet` is smooth.

    Args:
        network: maps (N, C, H, W) to the same shape; its weights are held fixed.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = laid_out(network.eval().requires_grad_(False))

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Filter (N, C, H, W) images."""
        del draw
        parts = torch.split(images, images_per_pass(images, _PIXELS_AT_ONCE))
        return clipped(torch.cat([self.network(part) for part in parts]))


class FilteredClassifier(nn.Module):
    """A filter and the classifier behind it, whose weights share one file, as ``bench train`` writes it.

    Load a submission's weights into one of these and build ``Defense(whole.classifier, num_classes,
    stages=[LearnedFilter(whole.filter)])`` of its parts.

    Args:
        filter: network from images to images.
        classifier: network from images to logits.
    """

    def __init__(self, filter: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.filter = filter
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) images in [0, 1] to the logits (N, K) of the filtered ones."""
        logits: Tensor = self.classifier(clipped(self.filter(images)))
        return logits
