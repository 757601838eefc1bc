"""A universal perturbation: known optima, ball and box, held-out effect, repeatability, cost, and a peer."""

import random
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmark.access import TrainingView, gray_box
from benchmark.attacks import build
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from .peers import art_uap, leaving_no_trace

EPS_255 = 64.0
EPS = EPS_255 / 255
SETTINGS = [{"target": target, "loss": loss} for target in ("none", "class") for loss in ("cross_entropy", "margin")]


def fit(defense: Defense, images: Tensor, labels: Tensor, eps_255: float, seed: int = 0, **params) -> dict[str, Tensor]:
    view = gray_box(defense, images, labels)
    return build("uap", params).fit(view, Classification(defense.num_classes), eps_255, Randomness([seed]))


def apply(state: dict[str, Tensor], images: Tensor, eps_255: float) -> Tensor:
    return build("uap", {}).apply(state, images, eps_255)


def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    return (net(images).argmax(dim=1) == labels).float().mean().item()


def linear(classes: int, seed: int = 3) -> Defense:
    layer = nn.Linear(36, classes)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(seed)))
        layer.bias.copy_(-layer.weight.sum(dim=1) / 2)
    return Defense(nn.Sequential(nn.Flatten(), layer).requires_grad_(False), classes)


def inner_images(count: int) -> Tensor:
    return 0.3 + 0.4 * torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("params", SETTINGS)
def test_for_images_of_one_class_a_binary_linear_network_asks_for_the_sign_of_its_weights(params):
    defense = linear(2)
    images = inner_images(100)
    images = images[defense.classifier(images).argmax(dim=1) == 0]
    weight = defense.classifier[1].weight
    state = fit(defense, images, torch.zeros(len(images), dtype=torch.int64), 8.0, **params)
    optimum = 8 / 255 * (weight[1] - weight[0]).sign().reshape(1, 6, 6)
    torch.testing.assert_close(state["delta"], optimum)


def test_for_a_class_of_a_linear_network_the_margin_to_the_strongest_other_falls_at_its_best_vertex():
    """With one target the optimum over the ball is again a sign; the best class is the one that leaves fewest right."""
    defense = linear(3)
    images = inner_images(400)
    labels = defense.classifier(images).argmax(dim=1)
    images, labels = images[labels == 0], labels[labels == 0]
    weight = defense.classifier[1].weight
    right = {
        k: accuracy(defense.classifier, images + 8 / 255 * (weight[k] - weight[0]).sign().reshape(1, 6, 6), labels)
        for k in (1, 2)
    }
    state = fit(defense, images, labels, 8.0, target="class", loss="margin")
    assert state["target"] == min(right, key=right.__getitem__)
    assert accuracy(defense.classifier, apply(state, images, 8.0), labels) <= min(right.values()) + 0.02


@pytest.fixture(scope="module")
def halves(problem) -> Callable[[int], tuple[nn.Module, Tensor, Tensor, Tensor, Tensor]]:
    """A network, 160 of the images that it was trained on, and 120 unseen ones that it gets right."""

    def cut(num_classes: int):
        toy = problem(num_classes, False)
        source = load_digits()
        images = torch.tensor(source.images[:160], dtype=torch.float32)[:, None] / 16
        labels = torch.tensor(source.target[:160] % num_classes, dtype=torch.int64)
        return toy.net, images, labels, toy.images, toy.labels

    return cut


@pytest.mark.parametrize("params", [{"target": "none"}, {"target": "class"}, {"target": "class", "loss": "margin"}])
@pytest.mark.parametrize("num_classes", [2, 10])
def test_it_lowers_accuracy_on_unseen_images_far_below_random_signs(halves, num_classes, params):
    net, images, labels, unseen, truth = halves(num_classes)
    state = fit(Defense(net, num_classes), images, labels, EPS_255, **params)
    noise = torch.randint(0, 2, unseen.shape, generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    under_noise = accuracy(net, (unseen + EPS * noise).clamp(0, 1), truth)
    assert accuracy(net, apply(state, unseen, EPS_255), truth) < under_noise - 0.1


def test_targeted_perturbations_drive_images_to_the_class_that_the_state_names(halves):
    net, images, labels, unseen, truth = halves(10)
    state = fit(Defense(net, 10), images, labels, EPS_255, target="class")
    answers = net(apply(state, unseen, EPS_255)).argmax(dim=1)
    fallen = answers[answers != truth]
    assert state["target"].item() == fallen.mode().values.item()


def test_a_larger_radius_never_helps_the_defender(halves):
    net, images, labels, unseen, truth = halves(3)
    standing = [
        accuracy(net, apply(fit(Defense(net, 3), images, labels, eps), unseen, eps), truth) for eps in (8, 32, 80)
    ]
    assert all(later <= earlier + 0.02 for earlier, later in pairwise(standing))
    assert standing[-1] < standing[0] - 0.3


@st.composite
def cases(draw_from: st.DrawFn) -> tuple[Defense, Tensor, Tensor, float]:
    classes = draw_from(st.integers(2, 4))
    channels, height, width = (draw_from(st.sampled_from(sizes)) for sizes in ((1, 3), (4, 5), (4, 6)))
    generator = torch.Generator().manual_seed(draw_from(st.integers(0, 10_000)))
    with torch.random.fork_rng():
        torch.manual_seed(draw_from(st.integers(0, 10_000)))
        net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))
        net(torch.zeros(1, channels, height, width))
    images = (1.4 * torch.rand(9, channels, height, width, generator=generator) - 0.2).clamp(0, 1)
    labels = torch.randint(classes, (9,), generator=generator)
    return Defense(net.requires_grad_(False), classes), images, labels, draw_from(st.floats(0.25, 64))


@pytest.mark.parametrize("params", SETTINGS)
@given(case=cases())
@settings(max_examples=10, deadline=None)
def test_candidates_lie_in_ball_and_box_and_training_images_fare_no_better_than_untouched(params, case):
    defense, images, labels, eps_255 = case
    state = fit(defense, images, labels, eps_255, epochs=2, batch_size=4, **params)
    found = apply(state, images, eps_255)
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found - images).abs().max() <= eps_255 / 255 + 1e-6
    assert accuracy(defense.classifier, found, labels) <= accuracy(defense.classifier, images, labels)


def test_every_image_gets_the_same_perturbation_whatever_its_batch():
    defense = linear(2)
    images = inner_images(20)
    state = fit(defense, images, torch.zeros(20, dtype=torch.int64), 8.0, epochs=1)
    found = apply(state, images, 8.0)
    torch.testing.assert_close(found - images, state["delta"].expand_as(images), atol=1e-6, rtol=0)
    assert torch.equal(torch.cat([apply(state, part, 8.0) for part in images.split(3)]), found)


def test_the_fit_follows_from_its_seed_and_disturbs_neither_global_generators_nor_the_network(halves):
    net, images, labels, *_ = halves(3)
    defense = Defense(deepcopy(net).requires_grad_(True), 3)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
        one = fit(defense, images, labels, 16.0, epochs=2, batch_size=40)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()
        assert random.getstate() == before[2]
        torch.manual_seed(2)
        assert torch.equal(fit(defense, images, labels, 16.0, epochs=2, batch_size=40)["delta"], one["delta"])
    assert not torch.equal(fit(defense, images, labels, 16.0, seed=1, epochs=2, batch_size=40)["delta"], one["delta"])
    assert not any(module.training for module in defense.modules())
    assert all(parameter.grad is None for parameter in defense.parameters())


def test_the_cost_of_a_fit_is_what_its_documentation_says():
    defense, images = linear(2), inner_images(50)
    labels = torch.tensor([0, 1] * 25)
    spent = {}
    for target in ("none", "class"):
        view = TrainingView(defense, images, labels)
        build("uap", {"images": 40, "epochs": 3, "target": target}).fit(view, Classification(2), 8.0, Randomness([0]))
        spent[target] = (view.queries, view.gradients)
    assert spent["none"] == (40 + 3 * 40 + 3 * 40, 3 * 40)
    assert spent["class"] == (40 + 3 * 40 + 2 * 3 * 40, 3 * 40)


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [2, 10])
def test_it_is_no_weaker_than_art_on_unseen_images(halves, num_classes):
    net, images, labels, unseen, truth = halves(num_classes)
    with leaving_no_trace():
        noise = art_uap(net, num_classes, images[:60], labels[:60], EPS)
    theirs = accuracy(net, (unseen + noise).clamp(0, 1), truth)
    for target in ("none", "class"):
        state = fit(Defense(net, num_classes), images[:60], labels[:60], EPS_255, target=target)
        ours = accuracy(net, apply(state, unseen, EPS_255), truth)
        assert ours <= theirs + 0.02


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"images": 0}, "images is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"target": "classes"}, "Did you mean 'class'"),
        ({"loss": "margins"}, "Did you mean 'margin'"),
        ({"clamp": 0.0}, "clamp is 0"),
    ],
)
def test_a_wrong_value_is_refused_with_the_mend(params, message):
    with pytest.raises(BenchError, match=message):
        build("uap", params)


def test_images_of_another_shape_than_the_fitted_ones_are_refused():
    state = fit(linear(2), inner_images(10), torch.zeros(10, dtype=torch.int64), 8.0, epochs=1)
    with pytest.raises(BenchError, match=r"\(1, 6, 6\), not \(1, 7, 7\)"):
        apply(state, torch.zeros(2, 1, 7, 7), 8.0)
