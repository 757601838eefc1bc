"""The generator of perturbations: held-out effect, ball and box, image by image, repeatability, cost."""

import random
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmark.access import TrainingView, gray_box
from benchmark.attacks import build
from benchmark.attacks.gap import scaled
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

EPS_255 = 48.0
EPS = EPS_255 / 255
SHORT = {"batches": 3, "batch_size": 4, "width": 2}


def fit(defense: Defense, images: Tensor, labels: Tensor, eps_255: float, seed: int = 0, **params) -> dict[str, Tensor]:
    view = gray_box(defense, images, labels)
    return build("gap", params).fit(view, Classification(defense.num_classes), eps_255, Randomness([seed]))


def apply(state: dict[str, Tensor], images: Tensor, eps_255: float) -> Tensor:
    return build("gap", {}).apply(state, images, eps_255)


def doubled(images: Tensor) -> Tensor:
    """16 x 16 pixels, for which the generator has two levels."""
    return images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def digits(count: int, num_classes: int) -> tuple[Tensor, Tensor]:
    source = load_digits()
    images = torch.tensor(source.images[:count], dtype=torch.float32)[:, None] / 16
    return doubled(images), torch.tensor(source.target[:count] % num_classes, dtype=torch.int64)


@pytest.mark.parametrize(("num_classes", "loss"), [(2, "least_likely"), (2, "true_class"), (10, "true_class")])
def test_it_lowers_accuracy_on_unseen_images_far_below_random_signs(problem, num_classes, loss):
    toy = problem(num_classes, False)
    net, unseen = nn.Sequential(nn.AvgPool2d(2), toy.net), doubled(toy.images)
    state = fit(Defense(net, num_classes), *digits(1000, num_classes), EPS_255, batches=120, loss=loss)
    noise = torch.randint(0, 2, unseen.shape, generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    by_noise, by_us = (
        (net(images).argmax(dim=1) == toy.labels).float().mean().item()
        for images in ((unseen + EPS * noise).clamp(0, 1), apply(state, unseen, EPS_255))
    )
    assert by_us < by_noise - 0.25


def test_on_one_class_of_a_linear_network_it_comes_near_the_optimum():
    """The optimum there is the sign of the weights; the generator must reach three quarters of its fall in margin."""
    layer = nn.Linear(64, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(2, 64, generator=torch.Generator().manual_seed(3)) / 8)
        layer.bias.copy_(-layer.weight.sum(dim=1) / 2)
    defense = Defense(nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), layer).requires_grad_(False), 2)
    images = doubled(0.3 + 0.4 * torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(5)))
    images = images[defense.classifier(images).argmax(dim=1) == 0]
    labels = torch.zeros(len(images), dtype=torch.int64)
    state = fit(defense, images, labels, 8.0, batches=150, learning_rate=0.01)
    direction = doubled((layer.weight[1] - layer.weight[0]).reshape(1, 1, 8, 8)) / 4
    gain = ((apply(state, images, 8.0) - images) * direction).sum(dim=(1, 2, 3))
    assert gain.mean() >= 0.75 * 8 / 255 * direction.abs().sum()


@st.composite
def cases(draw_from: st.DrawFn) -> tuple[Defense, Tensor, Tensor, float]:
    classes = draw_from(st.integers(2, 4))
    channels, height, width = (draw_from(st.sampled_from(sizes)) for sizes in ((1, 3), (4, 7, 12), (4, 5, 14)))
    generator = torch.Generator().manual_seed(draw_from(st.integers(0, 10_000)))
    with torch.random.fork_rng():
        torch.manual_seed(draw_from(st.integers(0, 10_000)))
        net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))
        net(torch.zeros(1, channels, height, width))
    images = (1.4 * torch.rand(9, channels, height, width, generator=generator) - 0.2).clamp(0, 1)
    labels = torch.randint(classes, (9,), generator=generator)
    return Defense(net.requires_grad_(False), classes), images, labels, draw_from(st.floats(0.25, 64))


@pytest.mark.parametrize("loss", ["least_likely", "true_class"])
@given(case=cases())
@settings(max_examples=15, deadline=None)
def test_candidates_lie_in_ball_and_box(loss, case):
    defense, images, labels, eps_255 = case
    found = apply(fit(defense, images, labels, eps_255, loss=loss, learning_rate=0.05, **SHORT), images, eps_255)
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found - images).abs().max() <= eps_255 / 255 + 1e-6


def test_outputs_beyond_the_radius_shrink_to_it_channel_by_channel_and_others_stay():
    outputs = torch.tensor([[[[0.5, -1.0]], [[0.1, 0.05]], [[0.0, 0.0]]]])
    assert torch.allclose(scaled(outputs, 0.2), torch.tensor([[[[0.1, -0.2]], [[0.1, 0.05]], [[0.0, 0.0]]]]))


def test_the_scaling_passes_the_gradient_of_its_own_quotient():
    outputs = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda given: scaled(given, 0.2), outputs)


@pytest.fixture(scope="module")
def small(problem) -> tuple[Defense, Tensor, Tensor]:
    toy = problem(3, False)
    return Defense(deepcopy(toy.net).requires_grad_(True), 3), toy.images, toy.labels


def test_an_images_candidate_depends_on_that_image_alone(small):
    defense, images, labels = small
    state = fit(defense, images, labels, 16.0, **SHORT)
    whole = apply(state, images[:20], 16.0)
    assert torch.equal(apply(state, images[:20], 16.0), whole)
    parts = torch.cat([apply(state, part, 16.0) for part in images[:20].split(3)])
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)


def test_the_state_survives_storage(small):
    defense, images, labels = small
    state = fit(defense, images, labels, 16.0, **SHORT)
    stored = load(save({name: value.contiguous() for name, value in state.items()}))
    assert torch.equal(apply(stored, images, 16.0), apply(state, images, 16.0))


def test_the_fit_follows_from_its_seed_and_disturbs_neither_global_generators_nor_the_network(small):
    defense, images, labels = small
    before = {name: value.clone() for name, value in defense.state_dict().items()}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        globals_before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
        one = fit(defense, images, labels, 16.0, **SHORT)
        assert torch.equal(torch.get_rng_state(), globals_before[0])
        assert (np.random.get_state()[1] == globals_before[1]).all()
        assert random.getstate() == globals_before[2]
        torch.manual_seed(2)
        same = fit(defense, images, labels, 16.0, **SHORT)
    other = fit(defense, images, labels, 16.0, seed=1, **SHORT)
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(other["down.0.weight"], one["down.0.weight"])
    assert not any(module.training for module in defense.modules())
    assert all(torch.equal(value, before[name]) for name, value in defense.state_dict().items())
    assert all(parameter.grad is None for parameter in defense.parameters())


def test_the_state_that_leaves_the_fewest_held_out_images_right_is_kept(problem):
    """Where every clean answer is wrong, the least likely class is the right one, and training only does harm."""
    toy = problem(2, False)
    net, images, wrong = nn.Sequential(nn.AvgPool2d(2), toy.net), doubled(toy.images), 1 - toy.labels
    answers = {
        name: net(apply(fit(Defense(net, 2), images, labels, EPS_255, batches=80), images, EPS_255)).argmax(dim=1)
        for name, labels in (("right", toy.labels), ("wrong", wrong))
    }
    assert (answers["right"] == wrong).float().mean() > 0.3
    assert (answers["wrong"] == wrong).float().mean() < 0.1


@pytest.mark.parametrize(("loss", "per_step"), [("least_likely", 2), ("true_class", 1)])
def test_the_cost_of_a_fit_is_what_its_documentation_says(small, loss, per_step):
    defense, images, labels = small
    view = TrainingView(defense, images, labels)
    build("gap", {"batches": 16, "batch_size": 5, "width": 2, "loss": loss}).fit(
        view, Classification(3), 8.0, Randomness([0])
    )
    held_out = 120 // 5
    assert view.gradients == 16 * 5
    assert view.queries == per_step * 16 * 5 + 9 * held_out


def test_a_single_training_image_is_enough(small):
    defense, images, labels = small
    assert apply(fit(defense, images[:1], labels[:1], 8.0, **SHORT), images[:2], 8.0).shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"batches": 0}, "batches is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"width": 0}, "width is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"loss": "trueclass"}, "Did you mean 'true_class'"),
    ],
)
def test_a_wrong_value_is_refused_with_the_mend(params, message):
    with pytest.raises(BenchError, match=message):
        build("gap", params)


def test_images_of_another_shape_than_the_fitted_ones_are_refused(small):
    defense, images, labels = small
    state = fit(defense, images, labels, 8.0, **SHORT)
    with pytest.raises(BenchError, match=r"\(1, 8, 8\), not \(1, 9, 8\)"):
        apply(state, torch.zeros(2, 1, 9, 8), 8.0)
