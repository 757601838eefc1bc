"""An image's result depends on that image and its own seed: not on its batch, nor on any global state."""

import random
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.access import adaptive, black_box, white_box
from benchmark.attacks import build
from benchmark.attacks.apgd import checkpoints
from benchmark.defense import Defense, Stage
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

ATTACKS = [
    ("fgsm", {}),
    ("bim", {"steps": 5}),
    ("pgd-l2", {"steps": 6}),
    ("pgd", {"steps": 6, "restarts": 2}),
    ("cw-linf", {"steps": 6}),
    ("mim", {"steps": 4}),
    ("dim", {"steps": 6}),
    ("tim", {"steps": 4, "probability": 0.5}),
    ("sma", {"steps": 4}),
    ("apgd", {"iterations": 20, "restarts": 2}),
    ("apgd", {"iterations": 15, "loss": "targeted"}),
    ("fab-t", {"iterations": 10}),
    ("apgd-l2", {"iterations": 15, "restarts": 2}),
    ("fab-t-l2", {"iterations": 10}),
    ("cw-l2", {"searches": 4, "steps": 12}),
    ("deepfool", {"steps": 8}),
    ("jsma", {}),
    ("square", {"queries": 300}),
]
NEAREST_POINT = ("fab-t", "fab-t-l2", "cw-l2", "deepfool")
STOCHASTIC = [case for case in ATTACKS if case[0] not in NEAREST_POINT]


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


def attacked(method, params, defense, images, labels, places) -> Tensor:
    draw = Randomness([1000 + place for place in places])
    attack = build(method, params)
    if attack.knowledge == "scores":
        view = black_box(defense, draw.fork("view"), budget=300)
    elif defense.stochastic:
        view = adaptive(defense, draw.fork("view"), eot_samples=3)
    else:
        view = white_box(defense, draw.fork("view"))
    task = Classification(defense.num_classes)
    return attack(view, task.goal(labels[places]), images[places], 12.0, draw.fork("attack"))


def check_batches(method, params, defense):
    images = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    labels = defense.classifier(images).argmax(dim=1)
    labels[0] = (labels[0] + 1) % 3
    whole = attacked(method, params, defense, images, labels, list(range(12)))
    for places in ([0], [11, 3, 7], [2, 5, 1, 9, 10]):
        assert torch.equal(attacked(method, params, defense, images, labels, places), whole[places])


@pytest.mark.parametrize(("method", "params"), ATTACKS)
def test_neighbours_and_order_change_no_bit(method, params):
    check_batches(method, params, Defense(RowByRow(), 3))


@pytest.mark.parametrize(("method", "params"), STOCHASTIC)
def test_neighbours_and_order_change_no_bit_against_a_stochastic_defense(method, params):
    check_batches(method, params, Defense(RowByRow(), 3, stages=[Jitter()]))


@pytest.mark.parametrize(("method", "params"), ATTACKS)
def test_batches_change_no_verdict_on_a_convolutional_network(run, problem, method, params):
    toy = problem(3)
    defense, task = Defense(toy.net, 3), Classification(3)
    images, labels = toy.images[:24], toy.labels[:24]
    whole = attacked(method, params, defense, images, labels, list(range(24)))
    parts = [attacked(method, params, defense, images, labels, list(range(i, i + 6))) for i in range(0, 24, 6)]
    fooled = [task.fooled(toy.net(found), labels) for found in (whole, torch.cat(parts))]
    assert torch.equal(*fooled)


@pytest.mark.parametrize(("method", "params"), ATTACKS)
def test_global_generators_are_neither_used_nor_disturbed(run, problem, method, params):
    toy = problem(3)
    defense = Defense(toy.net, 3)

    def found(seed: int) -> Tensor:
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
        candidates = run(method, params, defense, toy.images[:6], toy.labels[:6], 16).candidates
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()
        assert random.getstate() == before[2]
        return candidates

    with torch.random.fork_rng():
        assert torch.equal(found(1), found(2))


@pytest.mark.parametrize(("method", "params"), ATTACKS)
def test_the_network_stays_in_eval_mode_with_its_statistics_and_without_gradients(run, problem, method, params):
    toy = problem(3)
    defense = Defense(deepcopy(toy.net).requires_grad_(True), 3)
    before = {name: value.clone() for name, value in defense.state_dict().items()}
    run(method, params, defense, toy.images[:6], toy.labels[:6], 16)
    assert not any(module.training for module in defense.modules())
    assert all(torch.equal(value, before[name]) for name, value in defense.state_dict().items())
    assert all(parameter.grad is None for parameter in defense.parameters())


@pytest.mark.parametrize(("method", "params"), ATTACKS)
def test_the_given_images_are_left_as_they_were(run, problem, method, params):
    toy = problem(3)
    images = toy.images[:6].clone()
    run(method, params, Defense(toy.net, 3), images, toy.labels[:6], 16)
    assert torch.equal(images, toy.images[:6])


def test_apgd_reconsiders_its_step_size_where_croce_and_hein_do():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
