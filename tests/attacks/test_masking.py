"""Defenses that only hide their gradient: each falls like its undefended twin to the attack made for it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from benchmark.access import adaptive
from benchmark.attacks import build
from benchmark.defense import Defense, Stage
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

EPS_255 = 32.0


class Rounding(nn.Module):
    """Rounds inputs to 16 levels before the network; the gradient of rounding is zero everywhere."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net((images * 15).round() / 15)


class Saturated(nn.Module):
    """Multiplies the logits by a thousand: a softmax that is 0 or 1, and a cross-entropy without gradient."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return 1000 * self.net(images)


class RoundingStage(Stage):
    differentiable = False

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return (images * 15).round() / 15


class NoiseStage(Stage):
    stochastic = True

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return images + draw.normal(images.shape[1:], std=0.15)


class LargeNoise(NoiseStage):
    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return images + draw.normal(images.shape[1:], std=0.3)


class SlightNoise(NoiseStage):
    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return images + draw.normal(images.shape[1:], std=0.01)


def first(toy, count: int):
    """The same problem with fewer images."""
    return replace(toy, images=toy.images[:count], labels=toy.labels[:count])


def share(robust: Tensor) -> float:
    return robust.float().mean().item()


def survivors(run, defense, toy, attacks) -> float:
    """Accuracy under the per-image worst of several attacks."""
    each = [run(method, params, defense, toy.images, toy.labels, EPS_255).robust for method, params in attacks]
    return share(torch.stack(each).all(dim=0))


@pytest.mark.parametrize("num_classes", [2, 10])
def test_a_saturated_softmax_falls_like_its_twin(run, problem, num_classes):
    toy = first(problem(num_classes), 100)
    masked, twin = Defense(Saturated(toy.net), num_classes), Defense(toy.net, num_classes)
    fooled_by_masking = survivors(run, masked, toy, [("pgd", {})]) - survivors(run, twin, toy, [("pgd", {})])
    assert fooled_by_masking > 0.05
    suite = [("apgd", {}), ("apgd", {"loss": "targeted", "n_targets": 2, "iterations": 30})]
    assert survivors(run, masked, toy, suite) <= survivors(run, twin, toy, suite) + 0.03
    for method, params in (("pgd", {"loss": "margin"}), ("fab-t", {"n_targets": 2, "iterations": 25})):
        alone = [survivors(run, defense, toy, [(method, params)]) for defense in (masked, twin)]
        assert alone[0] <= alone[1] + 0.03


@pytest.mark.parametrize("num_classes", [2, 10])
def test_rounded_inputs_stop_gradients_but_not_squares(run, problem, num_classes):
    toy = first(problem(num_classes), 100)
    masked, twin = Defense(Rounding(toy.net), num_classes), Defense(toy.net, num_classes)
    assert survivors(run, masked, toy, [("pgd", {})]) > survivors(run, twin, toy, [("pgd", {})]) + 0.15
    square = [("square", {"queries": 400})]
    assert survivors(run, masked, toy, square) <= survivors(run, twin, toy, square) + 0.05


@pytest.mark.parametrize(("method", "params"), [("pgd", {}), ("apgd", {"iterations": 40})])
def test_bpda_breaks_a_rounding_stage_like_its_twin(run, problem, method, params):
    toy = problem(3)
    masked, twin = Defense(toy.net, 3, stages=[RoundingStage()]), Defense(toy.net, 3)
    view = adaptive(masked, Randomness(range(len(toy.images))), eot_samples=1)
    bpda = share(run(method, params, masked, toy.images, toy.labels, EPS_255, view=view).robust)
    assert bpda <= survivors(run, twin, toy, [(method, params)]) + 0.03


def majority_right(defense: Defense, images: Tensor, labels: Tensor, draws: int = 15) -> float:
    """Share of images on which the deployed system is right in most of its draws."""
    draw = Randomness(range(len(images)))
    right = [defense.predict(images, draw.fork("judge", i)).label == labels for i in range(draws)]
    return share(torch.stack(right).float().mean(dim=0) > 0.5)


@pytest.mark.parametrize(("method", "params"), [("pgd", {}), ("apgd", {"iterations": 40})])
def test_a_noisy_defense_falls_to_attacks_that_average(run, problem, method, params):
    toy = problem(3)
    noisy, twin = Defense(toy.net, 3, stages=[NoiseStage()]), Defense(toy.net, 3)
    view = adaptive(noisy, Randomness(range(len(toy.images))), eot_samples=8)
    found = run(method, params, noisy, toy.images, toy.labels, EPS_255, view=view).candidates
    assert majority_right(noisy, toy.images, toy.labels) > 0.9
    assert majority_right(noisy, found, toy.labels) <= survivors(run, twin, toy, [(method, params)]) + 0.06


@pytest.mark.slow
def test_square_breaks_a_slightly_noisy_system_like_its_twin(run, problem):
    """With more queries, to pay for its further looks.

    With noise of the radius' own size it does not: a single score then says little.
    """
    toy = first(problem(3), 40)
    noisy, twin = Defense(toy.net, 3, stages=[SlightNoise()]), Defense(toy.net, 3)
    found = run("square", {"queries": 1000}, noisy, toy.images, toy.labels, EPS_255).candidates
    alone = survivors(run, twin, toy, [("square", {"queries": 400})])
    assert majority_right(noisy, found, toy.labels) <= alone + 0.1


def test_averaging_over_draws_beats_one_draw(problem):
    """EOT's point: the gradient of one draw belongs to noise that the judge will not draw again."""
    toy = first(problem(3), 100)
    defense, task = Defense(toy.net, 3, stages=[LargeNoise()]), Classification(3)
    standing = {}
    for samples in (1, 16):
        draw = Randomness(range(len(toy.images)))
        view = adaptive(defense, draw.fork("view"), eot_samples=samples)
        found = build("pgd", {})(view, task.goal(toy.labels), toy.images, EPS_255, draw)
        standing[samples] = majority_right(defense, found, toy.labels)
    assert standing[16] < standing[1]
