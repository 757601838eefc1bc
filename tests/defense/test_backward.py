"""Two backward passes through a defense: what its stages declare, and the identity."""

import pytest
import torch
from torch import nn

from benchmark.access import adaptive
from benchmark.defense import Defense, Stage
from benchmark.defense.stages import BinomialVote, BitDepth, Jpeg, MedianFilter, SaltAndPepper
from benchmark.errors import BenchError
from benchmark.randomness import Randomness


class Flattening(Stage):
    """A true gradient that says nothing: everything but the extremes is clipped into one narrow band."""

    def apply_true(self, images, draw):
        return torch.sigmoid(200 * (images - 0.5))


class Halving(Stage):
    """Rounds, and declares a stand-in of slope one half."""

    differentiable = False

    def apply_true(self, images, draw):
        return (images * 15).round() / 15

    def stand_in(self, images, draw):
        return images / 2


class Shrinking(Stage):
    """Changes the shape: there is no identity to replace it."""

    differentiable = False

    def apply_true(self, images, draw):
        return nn.functional.avg_pool2d(images, 2).mul(15).round() / 15

    def stand_in(self, images, draw):
        return nn.functional.avg_pool2d(images, 2)


class Undeclared(Stage):
    differentiable = False

    def apply_true(self, images, draw):
        return (images * 15).round() / 15


def some_images(count=3, size=8, channels=1):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def streams(count=3):
    return Randomness(range(count))


def linear(size=8):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(size * size, 3)).requires_grad_(False)


STAGES = [Flattening(), Halving(), Undeclared(), MedianFilter(), Jpeg(60), SaltAndPepper(0.3)]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: type(stage).__name__)
def test_the_identity_keeps_the_deployed_value_to_the_last_bit_and_passes_the_gradient_unchanged(stage):
    leaf = some_images().requires_grad_()
    value = stage.straight_through(leaf, streams())
    weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(2))
    (value * weights).sum().backward()
    assert torch.equal(value.detach(), stage(leaf.detach(), streams()))
    assert torch.equal(leaf.grad, weights)


def test_a_stage_that_changes_the_shape_keeps_its_declared_stand_in():
    gradients = []
    for passed in (Shrinking().bpda, Shrinking().straight_through):
        leaf = some_images().requires_grad_()
        passed(leaf, streams()).sum().backward()
        gradients.append(leaf.grad)
    assert torch.equal(*gradients)
    torch.testing.assert_close(gradients[0], torch.full((3, 1, 8, 8), 0.25))


@pytest.mark.parametrize(
    ("stages", "vote", "alternative"),
    [
        ([], None, False),
        ([Undeclared()], None, False),
        ([BitDepth(4), Undeclared()], None, False),
        ([Halving()], None, True),
        ([MedianFilter()], None, True),
        ([Jpeg(80)], None, True),
        ([BitDepth(4), MedianFilter()], None, True),
        ([SaltAndPepper(0.1)], BinomialVote(4), True),
    ],
)
def test_a_defense_says_whether_the_identity_is_anything_new(stages, vote, alternative):
    assert Defense(linear(), 3, stages, vote).alternative_backward is alternative


@pytest.mark.parametrize("stages", [[], [Undeclared()], [BitDepth(4), Undeclared()]])
def test_without_an_alternative_both_backward_passes_give_one_gradient(stages):
    defense, images = Defense(linear(), 3, stages), some_images()
    looks = [
        adaptive(defense, streams(), 1, backward).evaluate(images, lambda logits: logits[:, 0], torch.arange(3))
        for backward in ("declared", "identity")
    ]
    torch.testing.assert_close(looks[0].gradient, looks[1].gradient, rtol=0, atol=0)


def test_the_identity_reaches_the_classifiers_own_gradient_where_a_saturated_stage_has_lost_it():
    defense, images = Defense(linear(), 3, [Flattening()]), some_images() * 0.2
    declared, identity = (
        adaptive(defense, streams(), 1, backward).evaluate(images, lambda logits: logits[:, 0], torch.arange(3))
        for backward in ("declared", "identity")
    )
    assert float(declared.gradient.abs().max()) < 1e-6
    expected = defense.classifier[1].weight[0].reshape(1, 1, 8, 8).expand(3, -1, -1, -1)
    torch.testing.assert_close(identity.gradient, expected)
    torch.testing.assert_close(identity.logits, declared.logits)


def test_a_voting_defense_takes_the_identity_too():
    """Median and noise hide half of the pixels from the true gradient; the identity sees them all."""
    defense, images = Defense(linear(), 3, [SaltAndPepper(0.9)], BinomialVote(2)), some_images()
    gradients = {}
    for backward in ("declared", "identity"):
        leaf = images.clone().requires_grad_()
        defense.adaptive_logits(leaf, streams(), 2, backward)[..., 0].sum().backward()
        gradients[backward] = leaf.grad
    assert float((gradients["declared"] == 0).float().mean()) > 0.5
    assert float((gradients["identity"] == 0).float().mean()) == 0


def test_an_unknown_backward_pass_is_refused_with_the_mend():
    with pytest.raises(BenchError, match="Did you mean 'identity'"):
        adaptive(Defense(linear(), 3), streams(), 1, "identiy")
