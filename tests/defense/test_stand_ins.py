"""Stand-ins for backward passes: near the deployed value, with a gradient that says where it would go."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.access import adaptive
from benchmark.defense import Defense, Stage
from benchmark.defense.stages import BitDepth, Jpeg, LearnedStandIn, MedianFilter, SaltAndPepper, WithStandIn
from benchmark.defense.stages.smooth_jpeg import smooth_jpeg, smooth_round
from benchmark.defense.stages.stand_ins import fit_stand_in, soft_median
from benchmark.errors import BenchError
from benchmark.randomness import Randomness


def some_images(count=3, channels=1, size=24, seed=0, width=None):
    """Smooth 8-bit images with a little texture, as photographs are."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 5, 5, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(size, width or size), mode="bicubic").clamp(0.1, 0.9)
    return ((smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1) * 255).round() / 255


def streams(count=3):
    return Randomness(range(count))


@pytest.mark.parametrize("size", [(24, 24), (28, 28), (17, 21)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [20, 49, 80, 95])
def test_but_for_its_rounding_smooth_jpeg_is_pillows(monkeypatch, quality, channels, size):
    """What remains is Pillow's own rounding, of pixels and between integer transforms."""
    images = some_images(channels=channels, size=size[0], width=size[1])
    true = Jpeg(quality)(images, streams())

    def error():
        return float((smooth_jpeg(images, quality).clamp(0, 1) - true).square().mean().sqrt())

    lost, smooth = float((images - true).square().mean().sqrt()), error()
    monkeypatch.setattr("benchmark.defense.stages.smooth_jpeg.smooth_round", torch.round)
    assert error() < 0.25 * lost + 0.5 / 255
    assert smooth < 0.45 * lost + 0.5 / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [30, 80])
def test_smooth_jpegs_gradient_is_that_of_finite_differences(quality, channels):
    generator = torch.Generator().manual_seed(3)
    # Between the 8-bit values no coefficient lies on the step from one integer to the next.
    images = some_images(2, channels, 17).double() + 1e-3 * torch.rand(2, channels, 17, 17, generator=generator)
    weights = torch.randn(images.shape, generator=generator, dtype=torch.float64)
    leaf = images.clone().requires_grad_()
    (smooth_jpeg(leaf, quality) * weights).sum().backward()
    for seed in range(5):
        direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        step = 1e-6 * direction
        ahead, behind = (smooth_jpeg(images + sign * step, quality) for sign in (1, -1))
        expected = ((ahead - behind) * weights).sum() / 2e-6
        assert float((leaf.grad * direction).sum()) == pytest.approx(float(expected), rel=1e-3, abs=1e-4)


def test_smooth_rounding_stays_near_rounding_and_has_a_gradient_everywhere():
    values = torch.linspace(-3, 3, 601).requires_grad_()
    rounded = smooth_round(values)
    assert float((rounded - values.round()).detach().abs().max()) <= 0.275 + 1e-5
    (gradient,) = torch.autograd.grad(rounded.sum(), values)
    torch.testing.assert_close(gradient, 0.3 + 3 * (values.detach() - values.detach().round()) ** 2)


def test_jpeg_keeps_its_deployed_value_and_takes_the_smooth_gradient():
    images = some_images()
    leaf, other = images.clone().requires_grad_(), images.clone().requires_grad_()
    value = Jpeg(60).bpda(leaf, streams())
    torch.testing.assert_close(value.detach(), Jpeg(60)(images, streams()))
    weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(2))
    (value * weights).sum().backward()
    (smooth_jpeg(other, 60) * weights).sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)
    assert not torch.equal(leaf.grad, weights)


@pytest.mark.parametrize(
    ("stage", "alternative"),
    [
        (Jpeg(60), True),
        (MedianFilter("soft"), True),
        (BitDepth(4), False),
        (WithStandIn(BitDepth(4), LearnedStandIn(1)), True),
    ],
)
def test_a_declared_stand_in_leaves_the_identity_as_an_alternative(stage, alternative):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    assert Defense(net, 3, [stage]).alternative_backward is alternative


def test_an_unknown_stand_in_is_refused():
    with pytest.raises(ValueError, match="stand_in must be"):
        MedianFilter("smooth")


def test_the_soft_median_tends_to_the_median_as_it_cools():
    images = some_images(size=20)
    true = MedianFilter()(images, streams())
    errors = [float((soft_median(images, t) - true).abs().mean()) for t in (1.0, 0.1, 0.01, 0.0001)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3
    assert float((soft_median(images) - true).abs().mean()) < 0.3 * float((images - true).abs().mean())


def test_under_the_soft_median_pixels_that_were_not_copied_have_a_gradient_too():
    images = some_images(size=20)
    reached = {}
    for kind in ("exact", "soft"):
        leaf = images.clone().requires_grad_()
        value = MedianFilter(kind).bpda(leaf, streams())
        torch.testing.assert_close(value.detach(), MedianFilter()(images, streams()))
        value.sum().backward()
        reached[kind] = float((leaf.grad.abs() > 1e-3).float().mean())
    assert reached["soft"] > reached["exact"] + 0.1


@pytest.mark.parametrize("bits", [1, 4, 5, 8])
def test_bit_depth_clears_the_last_bits_and_its_gradient_passes_straight_through(bits):
    images = some_images()
    leaf = images.clone().requires_grad_()
    value = BitDepth(bits).bpda(leaf, streams())
    pixels = (images * 255).round().to(torch.uint8).numpy()
    cleared = pixels & np.uint8(256 - 2 ** (8 - bits))
    assert (value.detach() * 255).round().to(torch.uint8).numpy().tolist() == cleared.tolist()
    value.sum().backward()
    assert torch.equal(leaf.grad, torch.ones_like(images))


@pytest.mark.parametrize("bits", [0, 9])
def test_bit_depth_refuses_what_is_no_number_of_bits(bits):
    with pytest.raises(ValueError, match="1 to 8"):
        BitDepth(bits)


@pytest.mark.parametrize("stage", [MedianFilter(), Jpeg(30)], ids=["median", "jpeg"])
def test_a_learned_stand_in_imitates_its_stage_on_images_it_has_never_seen(stage):
    seen, unseen = some_images(64, size=16), some_images(16, size=16, seed=99)
    network = fit_stand_in(stage, seen, steps=80, depth=3)
    true = stage(unseen, streams(16))
    before, after = (float((x - true).square().mean()) for x in (unseen, network(unseen)))
    assert after < 0.5 * before


def test_a_learned_stand_in_is_the_same_from_the_same_seed_and_disturbs_no_global_generator():
    images = some_images(8, size=12)
    state = torch.get_rng_state()
    first, again, other = (fit_stand_in(SaltAndPepper(0.1), images, seed=s, steps=5) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first(images), again(images))
    assert not torch.equal(first(images), other(images))


def test_before_any_fit_it_is_the_identity_and_its_state_can_be_stored():
    images = some_images(4)
    assert torch.equal(LearnedStandIn(1)(images), images)
    fitted = fit_stand_in(MedianFilter(), images, steps=5)
    copy = LearnedStandIn(1, seed=7)
    copy.load_state_dict(fitted.state_dict())
    assert torch.equal(copy(images), fitted(images))
    assert not any(parameter.requires_grad for parameter in fitted.parameters())


def test_a_declared_network_is_what_the_adaptive_attacker_differentiates():
    images = some_images(3, size=12)
    network = fit_stand_in(MedianFilter(), images, steps=10)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(144, 3)).requires_grad_(False)
    defense = Defense(net, 3, [WithStandIn(BitDepth(3), network)])
    look = adaptive(defense, streams(), 1).evaluate(images, lambda logits: logits[:, 0], torch.arange(3))
    torch.testing.assert_close(look.logits, net(BitDepth(3)(images, streams())), atol=1e-5, rtol=1e-5)
    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(network(leaf))[:, 0].sum(), leaf)
    torch.testing.assert_close(look.gradient, gradient)


def test_a_wrapped_random_stage_stays_random():
    assert Defense(nn.Flatten(), 3, [WithStandIn(SaltAndPepper(0.1), LearnedStandIn(1))]).stochastic


class Halves(Stage):
    def apply_true(self, images, draw):
        return images[:, :, ::2, ::2]


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(BenchError, match="changes the images' shape"):
        fit_stand_in(Halves(), some_images(), steps=1)
    with pytest.raises(BenchError, match="no image"):
        fit_stand_in(MedianFilter(), some_images(0))
    with pytest.raises(BenchError, match="at least 2"):
        LearnedStandIn(1, depth=1)
