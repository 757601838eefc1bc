"""The protocols of a task: what engine and judge ask of it, and what attacks are given in place of targets."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from torch import Tensor

from benchmark.defense.decision import Decision

Objective = Callable[[Tensor], Tensor]
"""Maps logits (n, K) to a per-image value (n,) that the attacker ascends."""


class Rival(Protocol):
    """For each of n images one outcome that would be a loss, such as another class."""

    def take(self, places: Tensor) -> Self:
        """The rivals of the images at ``places``."""
        ...

    def gain(self, logits: Tensor) -> Tensor:
        """(n,) how far the rival leads: positive where it has won."""
        ...

    def ratio(self, logits: Tensor) -> Tensor:
        """(n,) the same, with a scale of its own (targeted DLR)."""
        ...


class Goal(Protocol):
    """What an attacker of n images wants. It holds their targets, which an attack never sees."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def take(self, places: Tensor) -> Self:
        """The goal for the images at ``places``: indices, which may repeat, or a mask; on any device."""
        ...

    def objective(self, name: str) -> Objective:
        """What an attack ascends: ``cross_entropy``, ``margin`` or ``dlr``; each grows as the attacker gains."""
        ...

    def margin(self, logits: Tensor) -> Tensor:
        """(n,) positive where the image is lost; does not saturate."""
        ...

    def lost(self, logits: Tensor) -> Tensor:
        """(n,) bool: no further step can harm the image more, so that the attacker may stop."""
        ...

    def missed(self, label: Tensor) -> Tensor:
        """(n,) bool: a deployed label is wrong; an abstention is."""
        ...

    def rivals(self, logits: Tensor, most: int | None = None) -> Sequence[Rival]:
        """The most likely losses as logits see them, at most ``most`` of them, 9 when not given."""
        ...


class Task(Protocol):
    """What a task decides for engine, judge and contract."""

    @property
    def outputs(self) -> int:
        """Number of outputs of a network for it: K of its logits and probabilities."""
        ...

    def goal(self, targets: Tensor) -> Goal:
        """What an attacker of images with these targets wants."""
        ...

    def score(self, decision: Decision, targets: Tensor) -> Tensor:
        """(N,) float32 in [0, 1]: what the deployed decisions are worth; with a detector, rejections included.

        Every worst case is the minimum over cells.
        """
        ...

    def strata(self, targets: Tensor) -> list[int]:
        """The group of each image whose share an official subset keeps."""
        ...


class Posed(Protocol):
    """What names a task: a card, or a split."""

    @property
    def task(self) -> Any:
        """Its name."""
        ...

    @property
    def classes(self) -> Any:
        """Names of the classes."""
        ...
