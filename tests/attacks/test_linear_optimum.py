"""On a linear network the best perturbation is known in closed form, with and without the box [0, 1]."""

import pytest
import torch
from torch import Tensor, nn

from benchmark.attacks.hyperplane import step_onto
from benchmark.defense import Defense

EPS_255 = 8.0
EPS = EPS_255 / 255
BINARY_EXACT = [
    ("fgsm", {}),
    ("bim", {}),
    ("pgd", {}),
    ("pgd", {"loss": "margin"}),
    ("cw-linf", {}),
    ("mim", {}),
    ("apgd", {}),
    ("apgd", {"loss": "dlr"}),
    ("apgd", {"loss": "targeted"}),
    ("fab-t", {"iterations": 40}),
]
TWO_CLASSES_ONLY = [("sma", {})]
"""With more classes the second term may turn the ascent aside from the best one."""

EVERY_TARGET = [("apgd", {"loss": "targeted", "iterations": 40}), ("fab-t", {"iterations": 40})]


def linear_case(num_classes: int, low: float, high: float) -> tuple[Defense, Tensor, Tensor]:
    """200 random images, and a linear network whose margins lie within reach of EPS for about half of them."""
    generator = torch.Generator().manual_seed(num_classes)
    layer = nn.Linear(36, num_classes)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        layer.bias.copy_(-layer.weight.sum(dim=1) / 2)
    images = (low + (high - low) * torch.rand(200, 1, 6, 6, generator=generator)).clamp(0, 1)
    defense = Defense(nn.Sequential(nn.Flatten(), layer).requires_grad_(False), num_classes)
    return defense, images, defense.classifier(images).argmax(dim=1)


def best_margin(defense: Defense, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """(N,) the highest margin max_k z_k - z_y that any image in the ball and the box reaches."""
    layer = defense.classifier[1]
    flat = images.flatten(1)
    up, down = (1 - flat).clamp(max=eps), flat.clamp(max=eps)
    logits = layer(flat)
    margins = torch.full((len(images), defense.num_classes), -torch.inf)
    for k in range(defense.num_classes):
        direction = layer.weight[k] - layer.weight[labels]
        gain = (direction.clamp(min=0) * up - direction.clamp(max=0) * down).sum(dim=1)
        margins[:, k] = logits[:, k] - logits.gather(1, labels[:, None]).squeeze(1) + gain
    margins.scatter_(1, labels[:, None], -torch.inf)
    return margins.amax(dim=1)


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.7), (-0.3, 1.3)], ids=["interior", "box binds"])
@pytest.mark.parametrize(("method", "params"), BINARY_EXACT + TWO_CLASSES_ONLY)
def test_binary_success_exactly_when_the_budget_reaches_the_boundary(run, method, params, low, high):
    defense, images, labels = linear_case(2, low, high)
    optimum = best_margin(defense, images, labels, EPS)
    assert 0.2 < (optimum > 0).float().mean() < 0.8
    clear = optimum.abs() > 1e-4
    robust = run(method, params, defense, images, labels, EPS_255).robust
    assert torch.equal(robust[clear], (optimum < 0)[clear])


@pytest.mark.parametrize("num_classes", [3, 10])
@pytest.mark.parametrize(("low", "high"), [(0.3, 0.7), (-0.3, 1.3)], ids=["interior", "box binds"])
@pytest.mark.parametrize(("method", "params"), EVERY_TARGET)
def test_an_attack_that_tries_every_target_reaches_the_optimum_of_many_classes(
    run, method, params, low, high, num_classes
):
    """To 2 % of the radius: FAB's path to a target can be cut short by a third class."""
    defense, images, labels = linear_case(num_classes, low, high)
    images, labels = images[:40], labels[:40]
    robust = run(method, params, defense, images, labels, EPS_255).robust
    assert not robust[best_margin(defense, images, labels, 0.98 * EPS) > 0].any()
    assert robust[best_margin(defense, images, labels, EPS) < -1e-4].all()


@pytest.mark.parametrize("num_classes", [3, 10])
@pytest.mark.parametrize(("method", "params"), BINARY_EXACT)
def test_no_attack_fells_what_no_perturbation_can_fell(run, method, params, num_classes):
    defense, images, labels = linear_case(num_classes, -0.3, 1.3)
    images, labels = images[:40], labels[:40]
    optimum = best_margin(defense, images, labels, EPS)
    robust = run(method, params, defense, images, labels, EPS_255).robust
    assert robust[optimum < -1e-4].all()
    assert (~robust).sum() >= 0.85 * (optimum > 0).sum()


@pytest.mark.parametrize("num_classes", [2, 3])
def test_square_fells_all_that_a_twentieth_less_budget_could(run, num_classes):
    defense, images, labels = linear_case(num_classes, -0.3, 1.3)
    images, labels = images[:80], labels[:80]
    robust = run("square", {"queries": 1500}, defense, images, labels, EPS_255).robust
    easy = best_margin(defense, images, labels, 0.95 * EPS) > 0
    assert easy.sum() > 15
    assert (~robust[easy]).float().mean() >= 0.98
    assert robust[best_margin(defense, images, labels, EPS) < -1e-4].all()


def test_fab_finds_points_no_further_than_the_optimum_plus_its_overshoot(run):
    """A radius 6 % above the smallest that works is enough, for three radii."""
    defense, images, labels = linear_case(2, 0.4, 0.6)
    for eps_255 in (2.0, 4.0, 8.0):
        reachable = best_margin(defense, images, labels, eps_255 / 255 / 1.06) > 0
        robust = run("fab-t", {"iterations": 20}, defense, images, labels, eps_255).robust
        assert reachable.any()
        assert not robust[reachable].any()


def test_the_step_onto_a_hyperplane_is_the_shortest_that_the_box_allows():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(50, 1, 3, 4, generator=generator).double()
    normal = torch.randn(50, 1, 3, 4, generator=generator).double()
    rise = 2 * torch.randn(50, generator=generator).double()
    step = step_onto(points, normal, rise, "linf")
    reached = (normal * step).flatten(1).sum(dim=1)
    length = step.abs().amax(dim=(1, 2, 3))
    slightly_shorter = 0.999 * length[:, None, None, None]
    most_up = torch.minimum(slightly_shorter, torch.where(normal * rise[:, None, None, None] > 0, 1 - points, points))
    assert ((points + step >= -1e-12) & (points + step <= 1 + 1e-12)).all()
    possible = (most_up * normal.abs()).flatten(1).sum(dim=1)
    hit = (reached - rise).abs() < 1e-9
    assert hit.sum() > 25
    assert (possible[hit] < rise.abs()[hit]).all()
    missed = ~hit
    assert (reached.abs() < rise.abs())[missed].all()
