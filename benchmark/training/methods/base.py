"""What every training method is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmark.data.card import Card
from benchmark.data.split import Split
from benchmark.defense.surgery import statistics
from benchmark.training.batches import Batch
from benchmark.training.recipe import Recipe
from benchmark.training.stored import stored_network
from benchmark.training.tables import Adversary, Stored


@dataclass(frozen=True)
class MethodContext:
    """What a method is built from: recipe, card, the folder that paths are relative to, and the device."""

    recipe: Recipe
    card: Card
    beside: Path
    device: torch.device

    def load(self, stored: Stored) -> nn.Module:
        """Load a network that the recipe names, in eval mode on the device.

        Raises:
            BenchError: its weight file is missing or does not fit.
        """
        network = stored_network(stored, self.recipe, self.card, self.beside)
        return network.to(self.device).to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Examples:
    """What the inner maximisation hands to the loss; all fields are fixed, no gradient leads through them.

    Attributes:
        images: (N, C, H, W) clean images in [0, 1].
        labels: (N,) int64.
        attacked: (N, C, H, W) in [0, 1]; the clean images where a method makes no others.
        aim: what another network says, where a method asks one: labels (N,) or probabilities (N, K).
        weights: (N,) what each image counts for, where a method weighs them.
    """

    images: Tensor
    labels: Tensor
    attacked: Tensor
    aim: Tensor | None = None
    weights: Tensor | None = None


@dataclass(frozen=True)
class FirstStage:
    """Training that a method needs before its own: the same network, trained without an adversary.

    Attributes:
        recipe: its recipe.
        method: its loss.
        split: its training images.
    """

    recipe: Recipe
    method: "Method"
    split: Split


def of_clean(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (N, K) of clean images; dual batch normalisation has statistics of its own for them."""
    with statistics(network, "main"):
        logits: Tensor = network(images)
    return logits


def of_attacked(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (N, K) of attacked images; dual batch normalisation has statistics of its own for them."""
    with statistics(network, "auxiliary"):
        logits: Tensor = network(images)
    return logits


class Method(ABC):
    """One way to train: the examples it makes, and the loss on them.

    The loss is apart from the making of the examples so that weights may be perturbed between the two (see
    :mod:`benchmark.training.awp`).

    Args:
        context: what the method is built from.
    """

    def __init__(self, context: MethodContext) -> None:
        self.context = context

    @property
    def recipe(self) -> Recipe:
        """The recipe."""
        return self.context.recipe

    def adversary(self, epoch: int) -> Adversary:
        """The recipe's adversary in an epoch, counted from 1."""
        assert self.recipe.adversary is not None
        return self.recipe.adversary.at_epoch(epoch)

    def examples(self, network: nn.Module, batch: Batch) -> Examples:
        """Make training examples from a batch.

        Args:
            network: in eval mode, so that batch-norm statistics stand still; where they are dual, those of attacked
                images are in use.
            batch: images, labels and randomness.
        """
        return Examples(batch.images, batch.labels, batch.images)

    @abstractmethod
    def loss(self, network: nn.Module, examples: Examples) -> Tensor:
        """The scalar to descend; ``network`` is in train mode."""

    def first_stage(self, split: Split) -> FirstStage | None:
        """What has to be trained before, if anything; ``split`` is the whole training split.

        Raises:
            BenchError: the split does not serve the method.
        """
        return None

    def after_first_stage(self, network: nn.Module, split: Split) -> Split:
        """Take the network of the first stage, in eval mode; returns the split that the method trains on."""
        return split

    def begin(self, split: Split) -> None:
        """Prepare for training on a split."""
        return

    def end_epoch(self) -> None:
        """Take note that an epoch has ended."""
        return

    def state(self) -> dict[str, Tensor]:
        """What the method remembers from one epoch to the next, on the CPU."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`state`."""
        return
