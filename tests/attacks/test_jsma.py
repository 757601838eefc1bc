"""JSMA: the closed-form optimum of a linear network under a budget of pixels, and a peer on a real problem."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from benchmark.attacks.jsma import flip_most_salient
from benchmark.attacks.norms import distance
from benchmark.defense import Defense

from .peers import art_jsma


def linear_case(num_classes: int, channels: int) -> tuple[Defense, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(num_classes)
    layer = nn.Linear(36 * channels, num_classes)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        layer.bias.copy_(-layer.weight.sum(dim=1) / 2)
        # A lead for one class, so that a pixel or two are not always enough.
        layer.bias[0] += 4 * channels
    images = (1.6 * torch.rand(120, channels, 6, 6, generator=generator) - 0.3).clamp(0, 1)
    defense = Defense(nn.Sequential(nn.Flatten(), layer).requires_grad_(False), num_classes)
    return defense, images, defense.classifier(images).argmax(dim=1)


def best_margin(defense: Defense, images: Tensor, labels: Tensor, pixels: int) -> Tensor:
    """(N,) the highest margin that changing so many pixels can reach: the largest gains add up."""
    layer = defense.classifier[1]
    logits = layer(images.flatten(1))
    margins = torch.full((len(images), defense.num_classes), -torch.inf)
    for k in range(defense.num_classes):
        normal = (layer.weight[k] - layer.weight[labels]).reshape(images.shape)
        gains = torch.maximum(normal * (1 - images), -normal * images).sum(dim=1).flatten(1)
        largest = gains.sort(dim=1, descending=True).values[:, :pixels].sum(dim=1)
        margins[:, k] = logits[:, k] - logits.gather(1, labels[:, None]).squeeze(1) + largest
    return margins.scatter(1, labels[:, None], -torch.inf).amax(dim=1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_success_exactly_when_the_pixels_suffice(run, num_classes, channels):
    defense, images, labels = linear_case(num_classes, channels)
    for pixels in (2, 4):
        optimum = best_margin(defense, images, labels, pixels)
        assert 5 < (optimum > 0).sum() < 115
        clear = optimum.abs() > 1e-4
        outcome = run("jsma", {}, defense, images, labels, float(pixels))
        assert torch.equal(outcome.robust[clear], (optimum < 0)[clear])
        assert (distance(outcome.candidates, images, "l0") <= pixels).all()


def test_a_flip_takes_the_pixel_with_the_largest_sum_over_channels_in_both_directions():
    images = torch.tensor([[[[0.5, 0.9]], [[0.5, 0.9]]]])
    gradient = torch.tensor([[[[1.0, 3.0]], [[-1.0, 3.0]]]])
    flipped, untouched = flip_most_salient(images, gradient, torch.ones(1, 2, dtype=torch.bool), 1)
    assert flipped[0, :, 0, 0].tolist() == [1, 0]
    assert torch.equal(flipped[..., 1], images[..., 1])
    assert untouched.tolist() == [[False, True]]


def test_more_pixels_never_help_the_defender(run, problem):
    toy = problem(3)
    standing = [
        run("jsma", {}, Defense(toy.net, 3), toy.images[:40], toy.labels[:40], e).robust.sum() for e in (1, 2, 4)
    ]
    assert standing == sorted(standing, reverse=True)
    assert standing[-1] < standing[0] - 15


def test_pairs_cost_less_and_fell_nearly_as_much(run, problem):
    toy = problem(3)
    one, two = (run("jsma", {"pixels_per_step": n}, Defense(toy.net, 3), toy.images, toy.labels, 6.0) for n in (1, 2))
    assert two.view.gradients.sum() < 0.85 * one.view.gradients.sum()
    assert two.robust.sum() <= one.robust.sum() + 8


@pytest.mark.parametrize("num_classes", [2, 10])
@pytest.mark.parametrize("pixels", [2, 4])
def test_no_weaker_than_art_in_either_direction(run, problem, num_classes, pixels):
    toy = problem(num_classes)
    toy = replace(toy, images=toy.images[:40], labels=toy.labels[:40])
    standing = torch.ones(40, dtype=torch.bool)
    for found in art_jsma(toy, pixels):
        allowed = distance(found, toy.images, "l0") <= pixels
        standing &= ~(allowed & (toy.net(found).argmax(dim=1) != toy.labels))
    params = {"n_targets": min(num_classes - 1, 3)}
    mine = run("jsma", params, Defense(toy.net, num_classes), toy.images, toy.labels, pixels)
    assert mine.robust.float().mean() <= standing.float().mean() + 0.01
