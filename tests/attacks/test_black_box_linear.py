"""Query attacks against a linear network, whose best perturbation is known in closed form."""

import pytest
import torch
from torch import Tensor, nn

from benchmark.defense import Defense

EPS_255 = 8.0
EPS = EPS_255 / 255
SIGNS = [
    ("rays", {"queries": 2000}),
    ("spsa", {"samples": 32, "iterations": 40, "queries": 2600}),
    ("hopskipjump", {"queries": 6000}),
]
ROUND = [("hopskipjump", {"queries": 6000, "norm": "l2"}), ("zoo", {"queries": 3000})]


def linear_case(num_classes: int, low: float, high: float) -> tuple[Defense, Tensor, Tensor]:
    """60 random images, and a linear network whose margins lie within reach of EPS for about half of them."""
    generator = torch.Generator().manual_seed(num_classes)
    layer = nn.Linear(36, num_classes)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        layer.bias.copy_(-layer.weight.sum(dim=1) / 2)
    images = (low + (high - low) * torch.rand(60, 1, 6, 6, generator=generator)).clamp(0, 1)
    defense = Defense(nn.Sequential(nn.Flatten(), layer).requires_grad_(False), num_classes)
    return defense, images, defense.classifier(images).argmax(dim=1)


def margins_and_directions(defense: Defense, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Per wrong class k: z_k - z_y (N, K - 1), and its gradient (N, K - 1, D)."""
    layer = defense.classifier[1]
    logits = layer(images.flatten(1))
    others = torch.stack([torch.tensor([k for k in range(defense.num_classes) if k != y]) for y in labels.tolist()])
    margins = logits.gather(1, others) - logits.gather(1, labels[:, None])
    return margins, layer.weight[others] - layer.weight[labels][:, None]


def best_linf(defense: Defense, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """(N,) the highest margin that an image in the L-inf ball and the box reaches."""
    margins, directions = margins_and_directions(defense, images, labels)
    flat = images.flatten(1)[:, None]
    up, down = (1 - flat).clamp(max=eps), flat.clamp(max=eps)
    gain = (directions.clamp(min=0) * up - directions.clamp(max=0) * down).sum(dim=2)
    return (margins + gain).amax(dim=1)


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.7), (-0.3, 1.3)], ids=["interior", "box binds"])
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize(("method", "params"), SIGNS)
def test_all_that_a_twentieth_less_radius_could_fell_falls_and_nothing_beyond_the_optimum(
    run, method, params, num_classes, low, high
):
    defense, images, labels = linear_case(num_classes, low, high)
    robust = run(method, params, defense, images, labels, EPS_255, budget=params["queries"]).robust
    easy = best_linf(defense, images, labels, 0.95 * EPS) > 0
    assert easy.sum() > 10
    # HopSkipJump walks along the boundary of the class that its start has: of several, in a box, not the nearest.
    share = 0.85 if method == "hopskipjump" and num_classes > 2 and low < 0 else 0.98
    assert (~robust[easy]).float().mean() >= share
    assert robust[best_linf(defense, images, labels, EPS) < -1e-4].all()


def best_l2(defense: Defense, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """(N,) the highest margin in the ball of root-mean-square radius eps, where the box does not bind."""
    margins, directions = margins_and_directions(defense, images, labels)
    return (margins + eps * 6 * torch.linalg.vector_norm(directions, dim=2)).amax(dim=1)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize(("method", "params"), ROUND)
def test_in_l2_all_that_a_tenth_less_radius_could_fell_falls_and_nothing_beyond_the_optimum(
    run, method, params, num_classes
):
    defense, images, labels = linear_case(num_classes, 0.3, 0.7)
    robust = run(method, params, defense, images, labels, EPS_255, budget=params["queries"]).robust
    easy = best_l2(defense, images, labels, 0.9 * EPS) > 0
    assert easy.sum() > 10
    assert (~robust[easy]).float().mean() >= 0.95
    assert robust[best_l2(defense, images, labels, EPS) < -1e-4].all()


def best_l0(defense: Defense, images: Tensor, labels: Tensor, pixels: int) -> Tensor:
    """(N,) the highest margin that a change of ``pixels`` pixels to any values in [0, 1] reaches."""
    margins, directions = margins_and_directions(defense, images, labels)
    flat = images.flatten(1)[:, None]
    gains = torch.maximum(directions * (1 - flat), -directions * flat).sort(dim=2, descending=True).values
    return (margins + gains[:, :, :pixels].sum(dim=2)).amax(dim=1)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize(("pixels", "fewer"), [(1, 1), (2, 1)])
def test_one_pixel_fells_what_the_best_pixels_fell_and_nothing_beyond(run, num_classes, pixels, fewer):
    """With one pixel nearly all that the best one could fell, with two as well."""
    defense, images, labels = linear_case(num_classes, -0.3, 1.3)
    robust = run("one-pixel", {"queries": 4000}, defense, images, labels, pixels).robust
    easy = best_l0(defense, images, labels, fewer) > 1e-3
    beyond = best_l0(defense, images, labels, pixels) < -1e-4
    assert easy.sum() > 10
    assert (~robust[easy]).float().mean() >= 0.95
    assert robust[beyond].all()
    assert beyond.any() or pixels > 1
