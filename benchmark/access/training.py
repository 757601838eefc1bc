"""The view of an attacker who comes before the attack: training images and training-time gradients, no test image."""

from torch import Tensor

from benchmark.data.images import ImageSource
from benchmark.defense.target import Target
from benchmark.errors import BenchError


class TrainingView:
    """What the gray-box and the universal attacker hold: training images, and gradients of the undefended classifier.

    At attack time they hold nothing but what they have fitted, so this view knows no image under attack.
    Passes are counted per image: a forward pass of a batch of n adds n.

    Args:
        defense: its bare classifier answers; stages, vote and detector are out of reach.
        images: (N, C, H, W) float32 in [0, 1], images of the training split; a source of them stays on disk.
        labels: (N,) int64 their classes.

    Attributes:
        queries: forward passes so far, over all images.
        gradients: backward passes so far, over all images.

    Raises:
        BenchError: no image, or not one label per image.
    """

    def __init__(self, defense: Target, images: Tensor | ImageSource, labels: Tensor) -> None:
        if len(images) == 0 or len(images) != len(labels):
            raise BenchError(
                f"a fitted attack was given {len(images)} training images and {len(labels)} labels; "
                "give at least one image and as many labels."
            )
        self._target = defense
        self.num_classes = defense.num_classes
        self.images = images
        self.labels = labels
        self.queries = 0
        self.gradients = 0

    def differentiable(self, images: Tensor) -> Tensor:
        """Logits (n, K) of any images (n, C, H, W), with autograd attached where ``images`` or what made them ask it.

        Take gradients with ``torch.autograd.grad``: ``backward`` would write into the classifier's parameters.
        """
        self.queries += len(images)
        logits = self._target.logits(images)
        if logits.requires_grad:
            logits.register_hook(lambda _: self._count_backward(len(images)))  # type: ignore[no-untyped-call]
        return logits

    def _count_backward(self, images: int) -> None:
        self.gradients += images


def gray_box(defense: Target, images: Tensor | ImageSource, labels: Tensor) -> TrainingView:
    """Training images with labels, and training-time gradients of the undefended classifier; none at attack time."""
    return TrainingView(defense, images, labels)
