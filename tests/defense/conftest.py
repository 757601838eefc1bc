"""A small real problem whose network takes images of any size, as random padding needs."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attacks.problem import digits


@dataclass(frozen=True)
class Problem:
    """A trained network, the images it learnt from, and 100 test images that it gets right."""

    net: nn.Module
    training: Tensor
    labels_of_training: Tensor
    images: Tensor
    labels: Tensor


@pytest.fixture(scope="session")
def problem() -> Problem:
    """Three classes of 8 x 8 digits and a network with a global pool, trained on images with margins."""
    images, labels = digits(3)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 3),
        )
        optimiser = torch.optim.Adam(net.parameters(), lr=6e-3)
        for _ in range(12):
            for batch in torch.randperm(1200).split(64):
                margins = torch.randint(0, 2, (4,)).tolist()
                optimiser.zero_grad()
                F.cross_entropy(net(F.pad(images[batch], margins)), labels[batch]).backward()
                optimiser.step()
    optimiser.zero_grad()
    net.eval().requires_grad_(False)
    right = (net(images[1200:]).argmax(dim=1) == labels[1200:]).nonzero().squeeze(1)[:100] + 1200
    return Problem(net, images[:1200], labels[:1200], images[right], labels[right])
