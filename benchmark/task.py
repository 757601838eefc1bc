"""What a task asks of an attack and a judge: losses, and what "broken" means.

Attacks and engine take everything that depends on the task from this object.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.defense.decision import Decision

Objective = Callable[[Tensor], Tensor]
"""Maps logits (n, K) to a per-image value (n,) that the attacker ascends."""


@dataclass(frozen=True)
class Classification:
    """Single-label diagnosis, binary (K = 2) or multi-class.

    Every loss below takes logits (n, K) and labels (n,) int64, returns (n,), and grows as the attacker gains.
    """

    num_classes: int

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """-log p_y."""
        return F.cross_entropy(logits, labels, reduction="none")

    def margin(self, logits: Tensor, labels: Tensor) -> Tensor:
        """max_{k != y} z_k - z_y: positive exactly when the image is misclassified; does not saturate."""
        return self._others(logits, labels).amax(dim=1) - self._true(logits, labels)

    def dlr(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Difference of logits ratio (Croce & Hein 2020, equation 6); its scale needs K >= 3: the margin for K = 2."""
        margin = self.margin(logits, labels)
        if self.num_classes < 3:
            return margin
        ordered = logits.sort(dim=1, descending=True).values
        return margin / (ordered[:, 0] - ordered[:, 2] + 1e-12)

    def targeted_dlr(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Targeted DLR (Croce & Hein 2020, equation 7), needs K >= 4; below that z_t - z_y.

        The survey's code takes the targeted cross-entropy for few classes; a difference of logits has the same optimum
        and keeps its gradient where a confident softmax has lost it.
        """
        chosen = logits.gather(1, targets[:, None]).squeeze(1)
        gain = chosen - self._true(logits, labels)
        if self.num_classes < 4:
            return gain
        ordered = logits.sort(dim=1, descending=True).values
        return gain / (ordered[:, 0] - 0.5 * (ordered[:, 2] + ordered[:, 3]) + 1e-12)

    def targets(self, logits: Tensor, labels: Tensor, rank: int) -> Tensor:
        """The wrong class with the ``rank``-th highest logit (rank 0 = the most likely wrong one), (n,) int64."""
        return self._masked(logits, labels).argsort(dim=1, descending=True)[:, rank]

    def fooled(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(n,) bool: another class has the highest logit."""
        return logits.argmax(dim=1) != labels

    def right(self, decision: Decision, labels: Tensor) -> Tensor:
        """(n,) bool: the deployed label is the true one; an abstention is not."""
        return decision.label == labels

    def _true(self, logits: Tensor, labels: Tensor) -> Tensor:
        return logits.gather(1, labels[:, None]).squeeze(1)

    def _masked(self, logits: Tensor, labels: Tensor) -> Tensor:
        true = F.one_hot(labels, self.num_classes).bool()
        return logits.masked_fill(true, -torch.inf)

    _others = _masked
