"""Training goes down the whole of each method's loss: no part of it is held fixed that the weights move."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.submission.weights import save_weights
from benchmark.training.methods import METHODS, Examples, Method
from benchmark.training.recipe import untrained_network

from .conftest import make_card, make_recipe
from .linear import ADVERSARY, CLEAN, LABELS, Linear, images_of, make_method

ATTACKED = CLEAN + 8 / 255 * np.array([[1, -1, 1, -1], [-1, -1, 1, 1], [1, 1, -1, 0.5]])
SHIFT = 1e-5
OTHER = {"weights": "other.safetensors"}
SAID = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5], [0.3, 0.2, 0.1]]).double()
"""What a teacher says, as logits."""

CASES: dict[str, tuple[dict[str, object], dict[str, torch.Tensor]]] = {
    "natural": ({}, {}),
    "pgd_at": ({"adversary": ADVERSARY, "mixture": {"clean": 0.3}}, {}),
    "trades": ({"adversary": ADVERSARY}, {}),
    "mart": ({"adversary": ADVERSARY}, {}),
    "hat": ({"adversary": ADVERSARY, "helper": OTHER | {"gamma": 0.5}}, {"aim": torch.tensor([2, 2, 0])}),
    "mpadvt": ({"adversary": ADVERSARY}, {}),
    "maadvt": ({"adversary": ADVERSARY}, {}),
    "fat": ({"adversary": ADVERSARY}, {}),
    "ima": ({"adversary": ADVERSARY, "margins": {"beta": 0.3}}, {"weights": torch.tensor([1.0, 0.0, 1.0])}),
    "ssat": (
        {"adversary": ADVERSARY, "semi_supervised": {"labelled": 0.5, "epochs": 1}},
        {"weights": torch.tensor([1.0, 0.25, 1.0])},
    ),
    "ensemble_at": ({"adversary": ADVERSARY, "surrogates": [OTHER]}, {}),
    "ard": (
        {"adversary": ADVERSARY, "teacher": OTHER | {"alpha": 0.25}, "distillation": {"temperature": 4}},
        {"aim": SAID},
    ),
    "defensive_distillation": ({"distillation": {"temperature": 10}}, {"aim": SAID.softmax(dim=1)}),
}
"""The tables of each method, and what its examples hold beside the images."""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weight file that helper, teacher and surrogate are loaded from."""
    folder = tmp_path_factory.mktemp("elsewhere")
    save_weights(untrained_network(make_recipe(), make_card(3)), folder / "other.safetensors")
    return folder


def slopes(method: Method, network: Linear, examples: Examples) -> list[torch.Tensor]:
    """How the loss changes with each weight and each bias, from two values on either side of where it is."""
    found = []
    for parameter in network.parameters():
        flat = parameter.detach().view(-1)
        each = torch.zeros_like(flat)
        for place in range(len(flat)):
            here = flat[place].clone()
            around = []
            for shifted in (here + SHIFT, here - SHIFT):
                flat[place] = shifted
                around.append(method.loss(network, examples).item())
            flat[place] = here
            each[place] = (around[0] - around[1]) / (2 * SHIFT)
        found.append(each.reshape(parameter.shape))
    return found


def test_every_method_is_tried_here():
    assert set(CASES) == set(METHODS)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_the_slope_of_the_whole_loss(name, elsewhere):
    tables, beside = CASES[name]
    method, network = make_method(name, elsewhere, **tables), Linear().double()
    clean, attacked = images_of(CLEAN).double(), images_of(ATTACKED).double()
    examples = Examples(clean, torch.tensor(LABELS), attacked, **beside)
    gradient = torch.autograd.grad(method.loss(network, examples), list(network.parameters()))
    expected = slopes(method, network, examples)
    torch.testing.assert_close(list(gradient), expected, atol=1e-7, rtol=1e-5)
    assert all(float(slope.abs().max()) > 1e-3 for slope in expected)
