"""A small real problem with trained networks, and what every attack test needs to run an attack."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmark.access import GradientView, LabelView, ScoreView, black_box, black_box_labels, white_box
from benchmark.attacks import build
from benchmark.defense import Defense
from benchmark.randomness import Randomness
from benchmark.task import Classification

TRAIN_EPS = 16 / 255


@dataclass(frozen=True)
class Outcome:
    """What an attack returned, and the view that it spent."""

    candidates: Tensor
    view: GradientView | ScoreView | LabelView
    robust: Tensor
    """(N,) bool: the deployed label is still the true one."""


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


@pytest.fixture(scope="session")
def problem() -> Callable[..., Problem]:
    """Trains (once) a network: ``problem(num_classes, adversarial=True)``."""
    return cache(lambda num_classes, adversarial=True: train(num_classes, adversarial))


@pytest.fixture(scope="session")
def run() -> Callable[..., Outcome]:
    """Runs an attack by name: ``run(method, params, defense, images, labels, eps_255, view=None, seed=0)``."""

    def _run(method, params, defense, images, labels, eps_255, *, view=None, seed=0, budget=5000):
        if not isinstance(defense, Defense):
            raise TypeError("give a Defense")
        draw = Randomness([seed * 100_003 + i for i in range(len(images))])
        attack = build(method, params)
        if view is None:
            makers = {
                "gradient": white_box,
                "scores": lambda d, r: black_box(d, r, budget),
                "labels": lambda d, r: black_box_labels(d, r, budget),
            }
            view = makers[attack.knowledge](defense, draw.fork("view"))
        task = Classification(defense.num_classes)
        candidates = attack(view, task, images, labels, eps_255, draw.fork("attack"))
        robust = task.right(defense.predict(candidates, draw.fork("judge")), labels)
        return Outcome(candidates, view, robust)

    return _run
