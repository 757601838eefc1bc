"""What attacks, views and judge ask of a defense, wherever it lives."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from benchmark.defense.decision import Decision
from benchmark.defense.stage import Backward
from benchmark.randomness import Randomness


class Target(Protocol):
    """A deployed defense: :class:`~benchmark.defense.Defense` in this process, or one that a host has built.

    Shapes, draws and errors are those of :class:`~benchmark.defense.Defense`.
    """

    @property
    def num_classes(self) -> int:
        """K."""
        ...

    @property
    def stochastic(self) -> bool:
        """Whether two decisions on one image may differ."""
        ...

    @property
    def plain(self) -> bool:
        """Whether the defense is its bare classifier."""
        ...

    @property
    def detects(self) -> bool:
        """Whether it has a detector whose score can be followed."""
        ...

    @property
    def alternative_backward(self) -> bool:
        """Whether the backward pass "identity" may differ from the declared one."""
        ...

    @property
    def feature_layers(self) -> tuple[str, ...]:
        """Layers that attacks on features follow."""
        ...

    def logits(self, images: Tensor) -> Tensor:
        """Differentiable logits (N, K) of the bare classifier."""
        ...

    def predict(self, images: Tensor, draw: Randomness) -> Decision:
        """The deployed decision."""
        ...

    def adaptive_logits(self, images: Tensor, draw: Randomness, copies: int, backward: Backward = "declared") -> Tensor:
        """Differentiable logits (S, N, K) of the whole pipeline."""
        ...

    def adaptive_features(
        self, images: Tensor, draw: Randomness, copies: int, layers: Sequence[str], backward: Backward = "declared"
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Differentiable features (S, N, ...) by layer, and logits (S, N, K)."""
        ...

    def adaptive_score(self, images: Tensor, draw: Randomness, copies: int, backward: Backward = "declared") -> Tensor:
        """Differentiable acceptance score (S, N) of a detector."""
        ...

    def renew(self) -> None:
        """Let the next call meet a process that has not been asked, where there is one."""
        ...

    def check_layers(self, layers: Sequence[str]) -> None:
        """Raise BenchError where the classifier has no such feature layer."""
        ...

    def inner(self, images: Tensor) -> "Sequence[Target]":
        """Each network inside that turns images into logits, behind the defense's stages and nothing else.

        Args:
            images: (N, C, H, W); a defense in this process decides on them, to see which networks take part. One that
                lives elsewhere takes images of its own.
        """
        ...

    def undefended(self) -> "Target":
        """The bare classifier as a defense of its own, with the feature layers that the defense declares."""
        ...

    def answering(self, copies: int) -> "Target":
        """The defense, a vote of more than so many copies foreseen from these."""
        ...

    def __hash__(self) -> int: ...

    def __eq__(self, other: Any) -> bool: ...
