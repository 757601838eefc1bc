"""Total variation: the minimum that it names, edges kept, spots gone, and only a part of the values believed."""

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle

from benchmark.defense.stages import TotalVariation
from benchmark.randomness import Randomness


def step_edge(size=24):
    images = torch.full((2, 1, size, size), 0.2)
    images[:, :, :, size // 2 :] = 0.8
    return images


def noisy(images, std=0.05):
    return images + std * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))


def streams(count=2, seed=0):
    return Randomness(range(seed, seed + count))


def energy(solution, images, weight):
    """The functional of Rudin, Osher and Fatemi, per image."""
    down = torch.diff(solution, dim=2, append=solution[:, :, -1:])
    right = torch.diff(solution, dim=3, append=solution[:, :, :, -1:])
    variation = (down.square() + right.square()).sqrt().sum(dim=(1, 2, 3))
    return 0.5 * (solution - images).square().sum(dim=(1, 2, 3)) + weight * variation


@pytest.mark.parametrize("weight", [0.03, 0.1])
def test_believing_every_value_it_is_skimages_total_variation_denoiser(weight):
    images = noisy(step_edge())
    ours = TotalVariation(weight, keep=1.0, steps=1000)(images, streams())
    for image, mine in zip(images, ours, strict=True):
        theirs = torch.from_numpy(denoise_tv_chambolle(image[0].numpy(), weight, eps=1e-9, max_num_iter=3000)).float()
        torch.testing.assert_close(mine[0], theirs, atol=0.005, rtol=0)
        found, reference = (float(energy(x.reshape(image[None].shape), image[None], weight)) for x in (mine, theirs))
        assert found <= reference * (1 + 1e-4)


def test_the_default_number_of_steps_is_close_to_the_minimum():
    images = noisy(step_edge())
    few, many = (TotalVariation(keep=1.0, steps=steps)(images, streams()) for steps in (20, 1000))
    gain = energy(images, images, 0.03) - energy(many, images, 0.03)
    assert bool((energy(few, images, 0.03) - energy(many, images, 0.03) < 0.01 * gain).all())


@pytest.mark.parametrize("keep", [1.0, 0.5])
def test_a_few_wrong_pixels_vanish_and_the_edge_stays(keep):
    clean = step_edge()
    spotted = clean.clone()
    spotted[:, 0, 5::6, 3::6] += torch.tensor([0.06, -0.06])[:, None, None]
    spots = (spotted - clean).abs() > 0
    denoised = TotalVariation(0.03, keep)(spotted, streams())
    assert float((denoised - clean)[spots].abs().mean()) < 0.25 * 0.06
    jump = denoised[:, 0, :, 14] - denoised[:, 0, :, 9]
    assert float(jump.mean()) > 0.95 * 0.6


def test_dropped_values_have_no_say():
    """What is changed where the draw drops it changes nothing at all; elsewhere it does."""
    images = noisy(step_edge())
    stage = TotalVariation(keep=0.5)
    kept = streams().uniform(images.shape[1:]) < 0.5
    tampered = torch.where(kept, images, 1 - images)
    assert torch.equal(stage(tampered, streams()), stage(images, streams()))
    assert not torch.equal(stage(1 - images, streams()), stage(images, streams()))


def test_half_of_the_values_restore_a_noisy_image_on_either_side_of_the_edge():
    clean = step_edge()
    restored = TotalVariation(keep=0.5)(noisy(clean, 0.03), streams())
    away = [column for column in range(24) if not 8 <= column <= 15]
    assert float((restored - clean)[..., away].square().mean().sqrt()) < 0.5 * 0.03


def test_only_a_partial_belief_is_random():
    assert TotalVariation(keep=0.5).stochastic
    assert not TotalVariation(keep=1.0).stochastic
    images = noisy(step_edge())
    assert not torch.equal(TotalVariation()(images, streams(seed=0)), TotalVariation()(images, streams(seed=9)))


@pytest.mark.parametrize("keep", [1.0, 0.6])
def test_its_gradient_is_the_true_one(keep):
    images = noisy(step_edge(6)[:1]).double().requires_grad_()
    stage = TotalVariation(0.03, keep, steps=8)
    assert torch.autograd.gradcheck(lambda x: stage.bpda(x, streams(1)), images, atol=1e-4)


def test_a_flat_image_has_a_finite_gradient_and_stays_as_it_is():
    images = torch.full((2, 1, 8, 8), 0.3).requires_grad_()
    value = TotalVariation(keep=1.0)(images, streams())
    value.sum().backward()
    torch.testing.assert_close(value.detach(), images.detach())
    assert np.isfinite(images.grad.numpy()).all()


@pytest.mark.parametrize("arguments", [(0,), (-1,), (0.1, 0), (0.1, 1.1), (0.1, 0.5, 0)])
def test_what_makes_no_sense_is_refused(arguments):
    with pytest.raises(ValueError, match="total variation"):
        TotalVariation(*arguments)
