"""A query attack's result for an image depends on that image and its own seed: not on its batch or global state."""

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.access import black_box, black_box_labels
from benchmark.attacks import build
from benchmark.defense import Defense, Stage
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

ATTACKS = [
    ("rays", {"queries": 150}),
    ("spsa", {"samples": 10, "iterations": 8, "queries": 150}),
    ("hopskipjump", {"first_samples": 20, "queries": 150}),
    ("hopskipjump", {"first_samples": 20, "queries": 150, "norm": "l2"}),
    ("one-pixel", {"population": 10, "queries": 150}),
    ("zoo", {"coordinates": 10, "queries": 150}),
]
BUDGET = {"linf": 12.0, "l2": 8.0, "l0": 2.0}


class RowByRow(nn.Module):
    """A network whose floating-point sums run along one image alone, so that batching changes no bit."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Parameter(torch.randn(6, 36, generator=generator) / 2, requires_grad=False)
        self.second = nn.Parameter(torch.randn(3, 6, generator=generator), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        hidden = ((images.flatten(1) - 0.5)[:, None, :] * self.first).sum(dim=2).tanh()
        return (hidden[:, None, :] * self.second).sum(dim=2)


class Jitter(Stage):
    stochastic = True

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return images + draw.normal(images.shape[1:], std=0.02)


def attacked(method, params, defense, images, labels, places) -> tuple[Tensor, Tensor]:
    draw = Randomness([1000 + place for place in places])
    attack = build(method, params)
    make = black_box_labels if attack.knowledge == "labels" else black_box
    view = make(defense, draw.fork("view"), budget=200)
    task = Classification(defense.num_classes)
    found = attack(view, task.goal(labels[places]), images[places], BUDGET[attack.norm], draw.fork("attack"))
    return found, view.queries


@pytest.mark.parametrize("stages", [[], [Jitter()]], ids=["deterministic", "stochastic"])
@pytest.mark.parametrize(("method", "params"), ATTACKS)
def test_neighbours_and_order_change_no_bit(method, params, stages):
    defense = Defense(RowByRow(), 3, stages=stages)
    images = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    labels = defense.classifier(images).argmax(dim=1)
    labels[0] = (labels[0] + 1) % 3
    whole, asked = attacked(method, params, defense, images, labels, list(range(12)))
    assert len(asked.unique()) > 2
    for places in ([0], [11, 3, 7], [2, 5, 1, 9, 10]):
        part, queries = attacked(method, params, defense, images, labels, places)
        assert torch.equal(part, whole[places])
        assert torch.equal(queries, asked[places])


@pytest.mark.parametrize(("method", "params"), ATTACKS)
def test_global_generators_are_neither_used_nor_disturbed_and_images_stay_as_they_were(run, problem, method, params):
    toy = problem(3)
    defense, images = Defense(toy.net, 3), toy.images[:6].clone()
    eps = BUDGET[build(method, params).norm]

    def found(seed: int) -> Tensor:
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
        candidates = run(method, params, defense, images, toy.labels[:6], eps).candidates
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()
        assert random.getstate() == before[2]
        return candidates

    with torch.random.fork_rng():
        assert torch.equal(found(1), found(2))
    assert torch.equal(images, toy.images[:6])
