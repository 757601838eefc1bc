"""L2: the closed-form optimum of linear networks with and without the box, and the peers on a real problem."""

from dataclasses import replace

import foolbox
import pytest
import torch
import torchattacks
from torch import Tensor, nn

from benchmark.attacks.hyperplane import step_onto
from benchmark.attacks.norms import distance
from benchmark.defense import Defense

from .peers import foolbox_with, leaving_no_trace

FIXED_BUDGET = [
    ("pgd-l2", {}),
    ("pgd-l2", {"loss": "margin"}),
    ("apgd-l2", {}),
    ("apgd-l2", {"loss": "targeted"}),
]
NEAREST_POINT = [("fab-t-l2", {"iterations": 30}), ("deepfool", {}), ("cw-l2", {})]


def linear_case(num_classes: int, low: float, high: float) -> tuple[Defense, Tensor, Tensor]:
    """120 random images and a linear network."""
    generator = torch.Generator().manual_seed(num_classes)
    layer = nn.Linear(36, num_classes)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        layer.bias.copy_(-layer.weight.sum(dim=1) / 2)
    images = (low + (high - low) * torch.rand(120, 1, 6, 6, generator=generator)).clamp(0, 1)
    defense = Defense(nn.Sequential(nn.Flatten(), layer).requires_grad_(False), num_classes)
    return defense, images, defense.classifier(images).argmax(dim=1)


def smallest_distance(defense: Defense, images: Tensor, labels: Tensor) -> Tensor:
    """(N,) distance, in the L2 unit, to the nearest point of the box where another class wins.

    The nearest point for class k is clip(x + t (w_k - w_y)) for the smallest t that closes the margin: by bisection.
    """
    layer, flat = defense.classifier[1], images.flatten(1).double()
    logits = layer(images.flatten(1)).double()
    best = torch.full((len(images),), torch.inf, dtype=torch.float64)
    for k in range(defense.num_classes):
        normal = (layer.weight[k] - layer.weight[labels]).double()
        gap = logits.gather(1, labels[:, None]).squeeze(1) - logits[:, k]
        low, high = torch.zeros_like(gap), torch.full_like(gap, 100.0)
        for _ in range(60):
            middle = (low + high) / 2
            moved = (flat + middle[:, None] * normal).clamp(0, 1) - flat
            closes = (moved * normal).sum(dim=1) >= gap
            low, high = torch.where(closes, low, middle), torch.where(closes, middle, high)
        moved = (flat + high[:, None] * normal).clamp(0, 1) - flat
        possible = (labels != k) & ((moved * normal).sum(dim=1) >= gap - 1e-9)
        length = 255 * moved.square().mean(dim=1).sqrt()
        best = torch.where(possible, torch.minimum(best, length), best)
    return best


BOXES = pytest.mark.parametrize(("low", "high"), [(0.3, 0.7), (-0.3, 1.3)], ids=["interior", "box binds"])


@BOXES
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize(("method", "params"), FIXED_BUDGET)
def test_success_exactly_when_the_budget_reaches_the_boundary(run, method, params, num_classes, low, high):
    """An ascent of untargeted losses may follow the wrong one of several classes: there only what is possible falls."""
    defense, images, labels = linear_case(num_classes, low, high)
    needed = smallest_distance(defense, images, labels)
    eps_255 = needed.median().item()
    robust = run(method, params, defense, images, labels, eps_255).robust
    assert robust[needed > 1.0001 * eps_255].all()
    reachable = needed < 0.99 * eps_255
    if num_classes == 2 or params.get("loss") == "targeted":
        assert not robust[reachable].any()
    assert (~robust[reachable]).double().mean() >= 0.85


@BOXES
@pytest.mark.parametrize("num_classes", [2, 3, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("method", "params"), NEAREST_POINT)
def test_a_budget_a_tenth_above_the_smallest_that_works_is_enough(run, method, params, num_classes, low, high):
    """CW follows the boundary that looks nearest from its iterate; with three or more it may end at another one."""
    defense, images, labels = linear_case(num_classes, low, high)
    needed = smallest_distance(defense, images, labels)
    for eps_255 in needed.quantile(torch.tensor([0.4, 0.8]).double()).tolist():
        robust = run(method, params, defense, images, labels, eps_255).robust
        reachable = needed < eps_255 / 1.1
        assert reachable.sum() > 30
        assert robust[needed > 1.0001 * eps_255].all()
        missed = robust[reachable].double().mean()
        assert missed <= (0.02 if method == "cw-l2" and num_classes > 2 else 0)


def test_the_l2_step_onto_a_hyperplane_is_the_shortest_that_the_box_allows():
    """Its optimality condition: where the box does not stop it, the step is one multiple of the normal."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(50, 1, 3, 4, generator=generator).double()
    normal = torch.randn(50, 1, 3, 4, generator=generator).double()
    rise = 2 * torch.randn(50, generator=generator).double()
    step = step_onto(points, normal, rise, "l2")
    landed = points + step
    assert ((landed >= -1e-12) & (landed <= 1 + 1e-12)).all()
    hit = ((normal * step).flatten(1).sum(dim=1) - rise).abs() < 1e-9
    assert hit.sum() > 25
    slope = (step / normal).flatten(1)
    stopped = ((landed < 1e-12) | (landed > 1 - 1e-12)).flatten(1)
    largest = slope.abs().amax(dim=1, keepdim=True)
    assert torch.allclose(slope.abs()[~stopped & hit[:, None]], largest.expand_as(slope)[~stopped & hit[:, None]])
    faces = torch.where(normal * rise[:, None, None, None] > 0, 1 - points, points)
    assert torch.allclose(
        (normal.abs() * faces).flatten(1).sum(dim=1)[~hit], (normal * step).flatten(1).sum(1)[~hit].abs()
    )


def accuracy(toy, candidates: Tensor) -> float:
    return (toy.net.eval()(candidates).argmax(dim=1) == toy.labels).float().mean().item()


def ours(run, toy, method, eps_255, **params) -> float:
    defense = Defense(toy.net, toy.num_classes)
    return run(method, params, defense, toy.images, toy.labels, eps_255).robust.float().mean().item()


def foolbox_accuracy(toy, attack, eps_255: float) -> float:
    with leaving_no_trace():
        return accuracy(toy, foolbox_with(attack, toy, eps_255 / 255 * 8))


@pytest.mark.parametrize("num_classes", [2, 10])
@pytest.mark.parametrize("eps_255", [12.0, 24.0])
@pytest.mark.parametrize(
    ("method", "peer"),
    [
        ("pgd-l2", foolbox.attacks.L2PGD(steps=20, rel_stepsize=2.5 / 20)),
        ("deepfool", foolbox.attacks.L2DeepFoolAttack()),
        ("cw-l2", foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=4, steps=40, stepsize=0.05)),
    ],
)
def test_no_weaker_than_foolbox(run, problem, num_classes, eps_255, method, peer):
    toy = problem(num_classes)
    params = {}
    if method == "cw-l2":
        params, toy = {"searches": 4, "steps": 40}, replace(toy, images=toy.images[:60], labels=toy.labels[:60])
    theirs = foolbox_accuracy(toy, peer, eps_255)
    assert ours(run, toy, method, eps_255, **params) <= theirs + 0.01


def test_apgd_in_l2_fells_what_every_other_l2_attack_fells(run, problem):
    toy = problem(3)
    each = [ours(run, toy, method, 16.0) for method in ("apgd-l2", "pgd-l2", "deepfool")]
    assert each[0] > 0.1
    assert each[0] <= min(each) + 0.01


def test_torchattacks_cw_depends_on_a_shift_of_all_logits_and_ours_does_not(run, problem):
    """Its margin takes a zero for the true class among the others: all lowered by 20, nothing moves."""
    toy = problem(3)

    class Shifted(nn.Module):
        def __init__(self, shift: float) -> None:
            super().__init__()
            self.net, self.shift = toy.net, shift

        def forward(self, images: Tensor) -> Tensor:
            return self.net(images) + self.shift

    images, labels = toy.images[:30], toy.labels[:30]
    shifted = Shifted(-20.0).eval()
    peer = torchattacks.CW(shifted, c=1, steps=50, lr=0.05)
    assert (toy.net(peer(images, labels)).argmax(dim=1) == labels).all()
    params = {"searches": 4, "steps": 30}
    standing = [
        run("cw-l2", params, Defense(net, 3), images, labels, 32.0).robust.sum() for net in (toy.net, shifted.eval())
    ]
    assert standing[0] < 25
    assert abs(standing[0] - standing[1]) <= 1


def test_a_point_beyond_the_budget_never_passes_for_a_success(run, problem):
    toy = problem(3)
    for method, params in NEAREST_POINT:
        outcome = run(
            method,
            params | ({"searches": 4} if method == "cw-l2" else {}),
            Defense(toy.net, 3),
            toy.images[:30],
            toy.labels[:30],
            1.0,
        )
        moved = distance(outcome.candidates, toy.images[:30], "l2")
        assert (moved <= 1.001).all()
        assert (moved[outcome.robust] == 0).all()
