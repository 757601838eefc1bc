"""A problem with one robust feature and many that an attack of 8/255 turns round (after Tsipras et al. 2019).

The first row of pixels agrees with the label in nine images of ten, by more than 8/255. Each other pixel leans towards
the label by less than half of 8/255: together they tell the classes apart nearly always, until somebody attacks.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmark.access import white_box
from benchmark.attacks.pgd import Pgd
from benchmark.data.split import Split
from benchmark.defense import Defense
from benchmark.models.normalise import Normalise
from benchmark.randomness import Randomness
from benchmark.submission.weights import load_into, read_weights
from benchmark.task.classification import Classification

from .conftest import SIZE

ROBUST, FRAIL = 0.12, 0.012
"""How far a pixel of either kind leans towards the label."""


class Straight(nn.Module):
    """One linear layer behind the normalisation: small enough to train in a moment."""

    def __init__(self, num_classes: int, channels: int, mean: Sequence[float] = (0.5,), std: Sequence[float] = (0.1,)):
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.layer = nn.Linear(channels * SIZE * SIZE, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(self.normalise(images).flatten(1))


def make_problem(name: str, count: int, seed: int, frail: float = FRAIL) -> Split:
    """``frail`` is how far each pixel below the first row leans towards the label."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    sign = (2.0 * labels - 1).reshape(-1, 1, 1, 1)
    agrees = torch.where(torch.rand(count, 1, 1, 1, generator=draw) < 0.9, 1.0, -1.0)
    images = 0.5 + frail * sign + 0.02 * torch.randn(count, 1, SIZE, SIZE, generator=draw)
    images[:, :, :1] = 0.5 + ROBUST * sign * agrees + 0.02 * torch.randn(count, 1, 1, SIZE, generator=draw)
    ids = tuple(f"{name}-{place}" for place in range(count))
    return Split("tiny", name, images.clamp(0, 1), labels, ids, ids, ("class-0", "class-1"))


TEST = make_problem("test", 400, 2)


def load(weights: Path) -> Straight:
    state = read_weights(weights)
    return load_into(Straight(2, 1), state, str(weights))


def accuracies(
    network: nn.Module, test: Split = TEST, eps_255: float = 8, attack: Pgd | None = None
) -> tuple[float, float]:
    """Clean and robust accuracy on test images, the latter under the benchmark's PGD."""
    task, draw, defense = Classification(2), Randomness(range(len(test))), Defense(network.eval(), 2)
    attack = attack or Pgd(steps=10)
    found = attack(white_box(defense, draw), task.goal(test.labels), test.images, eps_255, draw)
    right = [task.score(defense.predict(images, draw), test.labels) for images in (test.images, found)]
    return float(right[0].float().mean()), float(right[1].float().mean())
