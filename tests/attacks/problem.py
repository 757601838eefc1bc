"""A small real problem with trained networks, for the tests of attacks and for the table of peers in docs."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmark.defense import Defense
from benchmark.randomness import Randomness

TRAIN_EPS = 16 / 255


@dataclass(frozen=True)
class Problem:
    """A trained network and 120 test images that it gets right."""

    net: nn.Module
    images: Tensor
    labels: Tensor
    num_classes: int


def make_net(num_classes: int, width: int = 16) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * 16, num_classes),
    )


def digits(num_classes: int) -> tuple[Tensor, Tensor]:
    """8 x 8 handwritten digits in [0, 1]; the class is the digit modulo ``num_classes``."""
    source = load_digits()
    images = torch.tensor(source.images, dtype=torch.float32)[:, None] / 16
    return images, torch.tensor(source.target % num_classes, dtype=torch.int64)


def train(num_classes: int, adversarial: bool) -> Problem:
    images, labels = digits(num_classes)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        net = make_net(num_classes)
        optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
        for _ in range(12):
            for batch in torch.randperm(1200).split(64):
                inputs, truth = images[batch], labels[batch]
                if adversarial:
                    leaf = (inputs + torch.empty_like(inputs).uniform_(-TRAIN_EPS, TRAIN_EPS)).requires_grad_()
                    (gradient,) = torch.autograd.grad(F.cross_entropy(net(leaf), truth), leaf)
                    step = (leaf + TRAIN_EPS * gradient.sign()).detach()
                    inputs = torch.minimum(torch.maximum(step, inputs - TRAIN_EPS), inputs + TRAIN_EPS).clamp(0, 1)
                optimiser.zero_grad()
                F.cross_entropy(net(inputs), truth).backward()
                optimiser.step()
    optimiser.zero_grad()
    net.eval().requires_grad_(False)
    right = (net(images[1200:]).argmax(dim=1) == labels[1200:]).nonzero().squeeze(1)[:120] + 1200
    return Problem(net, images[right], labels[right], num_classes)


class LabelsAlone(nn.Module):
    """Tells a label, with a margin of 8, and lets no gradient through."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images).detach()
        label = F.one_hot(logits.argmax(dim=1), logits.shape[1]).float()
        return 4.0 * (2 * label - 1) + 0 * images.flatten(1).sum(dim=1, keepdim=True)


class TwoModes(Defense):
    """A toy detector: the negated distance of the penultimate features to the nearest class mean of clean images."""

    def learn(self, images: Tensor, labels: Tensor) -> "TwoModes":
        features, _ = self.adaptive_features(images, Randomness([0] * len(images)), 1, self.feature_layers)
        values = features[self.feature_layers[0]][0]
        self.modes = torch.stack([values[labels == label].mean(dim=0) for label in range(self.num_classes)]).detach()
        return self

    def adaptive_score(self, images, draw, copies, backward="declared"):
        features, _ = self.adaptive_features(images, draw, copies, self.feature_layers, backward)
        values = features[self.feature_layers[0]]
        return -(values[:, :, None] - self.modes).square().mean(dim=3).amin(dim=2)
