"""The view of an attacker who sees what a hospital's clerk sees: the diagnosis and nothing else."""

from torch import Tensor

from benchmark.access.views import QueryView
from benchmark.defense.target import Target
from benchmark.randomness import Randomness


class LabelView(QueryView):
    """Answers queries with the deployed label alone; arguments as in :class:`QueryView`."""

    def query(self, images: Tensor, rows: Tensor) -> Tensor:
        """Return the deployed label (n,) int64, -1 = abstained, which is no true class and so counts as wrong.

        Args:
            images: (n, C, H, W) float32 in [0, 1].
            rows: (n,) int64 places in the view's batch, on the CPU; each occurrence is a query of its own.

        Raises:
            QueryBudgetExceeded: an image has no query left.
        """
        return self._ask(images, rows).label


def black_box_labels(defense: Target, draw: Randomness, budget: int) -> LabelView:
    """Deployed labels only, ``budget`` queries per image."""
    return LabelView(defense, draw, budget)
