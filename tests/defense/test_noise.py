"""MedRDF's noise and its other denoiser, against the distributions and filters that they name."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest

from benchmark.defense.stages import GaussianNoise, GaussianSmoothing, PoissonNoise
from benchmark.randomness import Randomness


def grey(value, count=2, size=60):
    return torch.full((count, 1, size, size), value)


def streams(count=2):
    return Randomness(range(count))


def texture(shape=(2, 3, 16, 16)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("std", [0.02, 0.1])
def test_gaussian_noise_is_normal_with_the_stated_standard_deviation(std):
    added = (GaussianNoise(std)(grey(0.5), streams()) - 0.5).flatten().numpy()
    assert kstest(added, "norm", args=(0, std)).pvalue > 1e-4


def test_gaussian_noise_differs_between_channels_and_stays_in_range():
    noisy = GaussianNoise(0.5)(torch.full((1, 3, 20, 20), 0.9), streams(1))
    assert not torch.equal(noisy[:, 0], noisy[:, 1])
    assert (float(noisy.min()), float(noisy.max())) == (0.0, 1.0)


def test_clipping_takes_no_gradient_from_gaussian_noise():
    """Half of the values on a black ground are clipped; the attacker still learns what each would do."""
    images = grey(0.0).requires_grad_()
    noisy = GaussianNoise(0.1).bpda(images, streams())
    noisy.sum().backward()
    assert 0.4 < float((noisy == 0).float().mean()) < 0.6
    assert torch.equal(images.grad, torch.ones_like(images))


@pytest.mark.parametrize("value", [0.1, 0.5])
@pytest.mark.parametrize("scale", [100.0, 400.0])
def test_poisson_noise_keeps_the_mean_and_has_a_variance_of_value_over_scale(value, scale):
    noisy = PoissonNoise(scale)(grey(value, size=200), streams())
    assert float(noisy.mean()) == pytest.approx(value, rel=0.01)
    assert float(noisy.var()) == pytest.approx(value / scale, rel=0.05)
    torch.testing.assert_close(noisy * scale, (noisy * scale).round(), atol=1e-3, rtol=0)


def test_poisson_noise_leaves_black_black_and_white_within_range():
    assert float(PoissonNoise(30)(grey(0.0), streams()).max()) == 0
    assert float(PoissonNoise(30)(grey(1.0), streams()).max()) == 1


def test_poisson_noises_backward_pass_is_the_identity_at_the_value_drawn():
    images = texture().requires_grad_()
    value = PoissonNoise(50).bpda(images, streams())
    value.sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))
    torch.testing.assert_close(value.detach(), PoissonNoise(50)(images.detach(), streams()))


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.7])
def test_gaussian_smoothing_is_scipys_with_a_mirrored_border(sigma):
    images = texture()
    stage = GaussianSmoothing(sigma)
    reach = len(stage.weights) // 2
    expected = [
        [gaussian_filter(plane, sigma, mode="mirror", radius=reach) for plane in image] for image in images.numpy()
    ]
    np.testing.assert_allclose(stage(images, streams()).numpy(), np.array(expected), atol=1e-6)


def test_gaussian_smoothing_takes_off_most_of_the_noise_of_a_plain_image():
    noisy = GaussianNoise(0.1)(grey(0.5), streams())
    smooth = GaussianSmoothing(1.0)(noisy, streams())
    # The squared weights of a Gaussian of width 1 sum to 1 / (4 pi): what independent noise keeps of its variance.
    assert float(smooth.var()) == pytest.approx(0.01 / (4 * np.pi), rel=0.1)


def test_gaussian_smoothings_gradient_is_the_true_one():
    images = texture((1, 2, 7, 6)).double().requires_grad_()
    stage = GaussianSmoothing(0.8, kernel=5).double()
    assert torch.autograd.gradcheck(lambda x: stage.bpda(x, streams(1)), images)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GaussianNoise(-0.1), "at least 0"),
        (lambda: GaussianNoise(float("nan")), "at least 0"),
        (lambda: PoissonNoise(0), "above 0"),
        (lambda: GaussianSmoothing(0), "above 0"),
        (lambda: GaussianSmoothing(1, kernel=4), "odd number"),
        (lambda: GaussianSmoothing(1, kernel=-1), "odd number"),
        (lambda: GaussianSmoothing(3)(texture((1, 1, 9, 9)), streams(1)), "too small for a kernel of 19"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
