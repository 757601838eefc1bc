"""Single-label diagnosis: the first task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.defense.decision import Decision
from benchmark.errors import BenchError
from benchmark.task.goal import Goal, Objective

MOST_RIVALS = 9
"""Other classes that attacks try one by one."""


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

    def ranked(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(n, K) the classes by falling logit, the true one last."""
        return self._masked(logits, labels).argsort(dim=1, descending=True)

    def fooled(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(n,) bool: another class has the highest logit."""
        return logits.argmax(dim=1) != labels

    @property
    def outputs(self) -> int:
        """K."""
        return self.num_classes

    def goal(self, targets: Tensor) -> "ClassGoal":
        """What an attacker wants: another class than these, (n,) int64."""
        return ClassGoal(self, targets)

    def score(self, decision: Decision, targets: Tensor) -> Tensor:
        """(N,) 1 where the deployed label is the true one, else 0; an abstention is not right."""
        return (decision.accepted & (decision.label == targets)).to(torch.float32)

    def strata(self, targets: Tensor) -> list[int]:
        """The classes."""
        labels: list[int] = targets.tolist()
        return labels

    def _true(self, logits: Tensor, labels: Tensor) -> Tensor:
        return logits.gather(1, labels[:, None]).squeeze(1)

    def _masked(self, logits: Tensor, labels: Tensor) -> Tensor:
        true = F.one_hot(labels, self.num_classes).bool()
        return logits.masked_fill(true, -torch.inf)

    _others = _masked


@dataclass(frozen=True, eq=False)
class ClassRival:
    """For each image another class, ``classes`` (n,) int64."""

    task: Classification
    labels: Tensor
    classes: Tensor

    def take(self, places: Tensor) -> Self:
        """The rivals of the images at ``places``."""
        return type(self)(self.task, self.labels[places], self.classes[places])

    def gain(self, logits: Tensor) -> Tensor:
        """z_t - z_y."""
        chosen = logits.gather(1, torch.stack([self.classes, self.labels], dim=1))
        return chosen[:, 0] - chosen[:, 1]

    def ratio(self, logits: Tensor) -> Tensor:
        """Targeted DLR."""
        return self.task.targeted_dlr(logits, self.labels, self.classes)


@dataclass(frozen=True, eq=False)
class ClassGoal:
    """Another class than ``labels`` (n,) int64."""

    task: Classification
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: Tensor) -> Self:
        """The goal for the images at ``places``."""
        return type(self)(self.task, self.labels[places.to(self.labels.device)])

    def objective(self, name: str) -> Objective:
        """As :class:`benchmark.task.goal.Goal` says."""
        losses = {"cross_entropy": self.task.cross_entropy, "margin": self.task.margin, "dlr": self.task.dlr}
        loss = losses[name]
        return lambda logits: loss(logits, self.labels)

    def margin(self, logits: Tensor) -> Tensor:
        """max_{k != y} z_k - z_y."""
        return self.task.margin(logits, self.labels)

    def lost(self, logits: Tensor) -> Tensor:
        """Another class leads."""
        return self.task.fooled(logits, self.labels)

    def missed(self, label: Tensor) -> Tensor:
        """The label is another one, or none."""
        return label != self.labels

    def rivals(self, logits: Tensor, most: int | None = None) -> Sequence[ClassRival]:
        """The other classes by falling logit."""
        count = min(self.task.num_classes - 1, most if most is not None else MOST_RIVALS)
        ranked = self.task.ranked(logits, self.labels)
        return [ClassRival(self.task, self.labels, ranked[:, rank]) for rank in range(count)]

    def instead(self, classes: Tensor) -> "ClassGoal":
        """The goal that would hold if these (n,) were the true classes: to lead away from them."""
        return type(self)(self.task, classes)

    def behind(self, logits: Tensor) -> Tensor:
        """(n, K) how far each class lies behind the true one: z_y - z_k."""
        return logits.gather(1, self.labels[:, None]) - logits

    def least_of_others(self, values: Tensor) -> Tensor:
        """(n,) the smallest of values (n, K) over the other classes."""
        return values.scatter(1, self.labels[:, None], torch.inf).amin(dim=1)


def of_classes(attack: str, goal: Goal) -> ClassGoal:
    """The goal, which must be one of single classes.

    Raises:
        BenchError: it is not.
    """
    if not isinstance(goal, ClassGoal):
        raise BenchError(f"{attack} reads single classes, and this task has none; leave the attack out of its matrix.")
    return goal
