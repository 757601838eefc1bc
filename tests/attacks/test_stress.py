"""The stress test of features: how far the mean activation of a layer can be driven."""

import pytest
import torch
from torch import nn

from benchmark.access import adaptive, white_box
from benchmark.attacks import build
from benchmark.attacks.stress import Stress, stress_table
from benchmark.defense import Defense, Stage
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification


class Rounded(Stage):
    differentiable = False

    def apply_true(self, images, draw):
        return (images * 255).round() / 255


class Smooth(Stage):
    """Averages 4 x 4 neighbourhoods: what a perturbation does in fine detail does not reach the features."""

    def apply_true(self, images, draw):
        return nn.functional.interpolate(nn.functional.avg_pool2d(images, 4), scale_factor=4)


def linear(num_classes=3, size=6):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(size * size, 5), nn.Linear(5, num_classes)).requires_grad_(False)


def some_images(count=10):
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def view_of(defense, count=10, eot=1):
    return adaptive(defense, Randomness(range(count)), eot)


def test_a_linear_layer_is_driven_as_far_as_the_ball_and_the_box_allow():
    net, images, eps = linear(), some_images(), 6.0
    up, down = stress_table(view_of(Defense(net, 3)), images, ["1"], eps)
    direction = net[1].weight.mean(dim=0).sign().reshape(1, 1, 6, 6)
    for row, sign in ((up, 1), (down, -1)):
        extreme = (images + sign * eps / 255 * direction).clamp(0, 1)
        assert row.after == pytest.approx(float(net[1](extreme.flatten(1)).mean()), abs=1e-5)
        assert row.before == pytest.approx(float(net[1](images.flatten(1)).mean()), abs=1e-5)
        assert row.change == pytest.approx((row.after - row.before) / abs(row.before))
        assert row.eps_255 == eps
        assert row.fooling_rate == float((net(extreme).argmax(dim=1) != net(images).argmax(dim=1)).float().mean())


def test_there_is_one_line_for_each_layer_and_direction():
    defense = Defense(linear(), 3, feature_layers=("1", "2"))
    table = stress_table(view_of(defense), some_images(), steps=3)
    assert [(row.layer, row.direction) for row in table] == [("1", "up"), ("1", "down"), ("2", "up"), ("2", "down")]
    assert all(row.after >= row.before if row.direction == "up" else row.after <= row.before for row in table)
    assert table[0].eps_255 == pytest.approx(4 / 256 * 255)


def test_deep_features_are_driven_farther_than_shallow_ones(problem):
    """Medical Aegis, Table 1: relative change grows from layer to layer."""
    toy = problem(3, False)
    view = view_of(Defense(toy.net, 3), len(toy.images))
    up = {row.layer: row.change for row in stress_table(view, toy.images, ["2", "5"], 16.0) if row.direction == "up"}
    assert up["5"] > up["2"] > 0


def test_a_cushion_weakens_what_the_attacker_can_drive():
    """Medical Aegis, Table 1, right half: it is the cushioned features that are driven."""
    net, images = linear(size=8), torch.full((4, 1, 8, 8), 0.5)
    bare, cushioned = (
        stress_table(view_of(Defense(net, 3, stages), 4), images, ["1"], 8.0)[0] for stages in ([], [Smooth()])
    )
    assert cushioned.before == pytest.approx(bare.before)
    assert 0 < cushioned.after - cushioned.before < (bare.after - bare.before) / 2


@pytest.mark.parametrize("direction", ["up", "down", "away"])
def test_as_an_attack_it_drives_the_layer_the_way_it_is_told_inside_ball_and_box(direction):
    net, images = linear(), some_images()
    defense = Defense(net, 3, [Rounded()])
    labels = net(images).argmax(dim=1)
    view = view_of(defense)
    params = {"direction": direction, "layer": "1", "steps": 12}
    found = build("stress", params)(view, Classification(3).goal(labels), images, 8.0, Randomness(range(10)))
    before, after = (net[1](x.flatten(1)).mean(dim=1) for x in (images, found))
    moved = {"up": after - before, "down": before - after, "away": after.abs() - before.abs()}[direction]
    fooled = net(found).argmax(dim=1) != labels
    assert (moved[~fooled] > 0).all()
    assert float((found - images).abs().max()) <= 8 / 255 + 1e-6
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert view.queries.tolist() == view.gradients.tolist() == [13] * 10


def test_without_a_named_layer_it_drives_the_defenses_last_one():
    images, labels = some_images(), torch.zeros(10, dtype=torch.int64)
    defense = Defense(linear(), 3, feature_layers=("2", "1"))
    found = [
        build("stress", params)(view_of(defense), Classification(3).goal(labels), images, 8.0, Randomness(range(10)))
        for params in ({}, {"layer": "1"})
    ]
    assert torch.equal(*found)


def test_an_images_result_does_not_depend_on_its_batch():
    class Sums(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Identity()
            self.weight = torch.randn(3, 36, generator=torch.Generator().manual_seed(2))

        def forward(self, images):
            return self.inner((images.flatten(1)[:, None, :] * self.weight).sum(dim=2).tanh())

    images, labels = some_images(), torch.zeros(10, dtype=torch.int64)

    def found(places):
        draw = Randomness(places)
        view = adaptive(Defense(Sums(), 3, feature_layers=("inner",)), draw, 1)
        return build("stress", {})(view, Classification(3).goal(labels[places]), images[places], 8.0, draw)

    whole = found(list(range(10)))
    for places in ([3], [9, 0, 4]):
        assert torch.equal(found(places), whole[places])


@pytest.mark.parametrize(
    ("params", "message"),
    [({"direction": "upp"}, "Did you mean 'up'"), ({"steps": 0}, "steps is 0"), ({"alpha_255": 0.0}, "alpha_255")],
)
def test_a_parameter_out_of_range_is_refused(params, message):
    with pytest.raises(BenchError, match=message):
        Stress(**params)


def test_unknown_layers_other_views_and_no_images_are_refused():
    defense, images, labels = Defense(linear(), 3), some_images(), torch.zeros(10, dtype=torch.int64)
    with pytest.raises(BenchError, match="no feature layer 'nine'"):
        stress_table(view_of(defense), images, ["nine"])
    with pytest.raises(BenchError, match="at least one"):
        stress_table(view_of(defense, 0), images[:0])
    draw = Randomness(range(10))
    with pytest.raises(BenchError, match="adaptive track"):
        build("stress", {})(white_box(defense, draw), Classification(3).goal(labels), images, 8.0, draw)
