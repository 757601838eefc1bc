"""The view of an attacker who copies a deployed system: training images, and the diagnosis on any image of theirs."""

from torch import Tensor

from benchmark.access.views import COPIES_PER_QUERY
from benchmark.data.images import ImageSource
from benchmark.defense.target import Target
from benchmark.errors import BenchError
from benchmark.randomness import Randomness, content_seed


class AnswersView:
    """Answers questions about images of the attacker's own with the deployed label; no image under attack is known.

    Args:
        defense: the deployed defense; a vote is foreseen from few copies, as for other queries.
        images: (N, C, H, W) float32 in [0, 1], images of the training split; a source of them stays on disk.
        labels: (N,) int64 their classes.
        draw: ONE stream; each question has its own randomness.

    Attributes:
        queries: questions so far, over all images.
        gradients: always 0.

    Raises:
        BenchError: no image, or not one label per image.
    """

    def __init__(self, defense: Target, images: Tensor | ImageSource, labels: Tensor, draw: Randomness) -> None:
        if len(images) == 0 or len(images) != len(labels):
            raise BenchError(
                f"an attack that copies a defense was given {len(images)} training images and {len(labels)} labels; "
                "give at least one image and as many labels."
            )
        self._defense = defense.answering(COPIES_PER_QUERY)
        self._draw = draw
        self.num_classes = defense.num_classes
        self.images = images
        self.labels = labels
        self.queries = 0
        self.gradients = 0

    def ask(self, images: Tensor) -> Tensor:
        """Deployed labels (n,) int64 of any images (n, C, H, W); -1 = abstained."""
        (seed,) = self._draw.seeds
        seeds = [content_seed(seed, "question", self.queries + place) for place in range(len(images))]
        self.queries += len(images)
        return self._defense.predict(images, self._draw.seeded(seeds)).label
