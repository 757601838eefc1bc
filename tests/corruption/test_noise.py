"""Noises by their statistics."""

import pytest
import torch

from benchmark.corruption import SEVERITIES, sequence
from benchmark.corruption.catalogue import NOISE_LEVELS
from benchmark.randomness import Randomness

# Truncation to 8-bit levels takes half a level from the mean and adds the variance of a uniform level.
HALF_LEVEL, LEVEL_VARIANCE = 0.5 / 255, 1 / (12 * 255**2)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("grey", [0.4, 0.6])
@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "speckle_noise"])
def test_mean_and_variance_are_those_of_the_distribution(name: str, grey: float, severity: int) -> None:
    images = torch.full((1, 1, 64, 64), grey)
    noisy = sequence(name, images, severity, Randomness([0]))[:, 1:]
    level = NOISE_LEVELS[name][severity]
    variance = {"gaussian_noise": level**2, "shot_noise": grey / level, "speckle_noise": (grey * level) ** 2}[name]
    assert noisy.mean().item() == pytest.approx(grey - HALF_LEVEL, abs=1e-3)
    assert noisy.var().item() == pytest.approx(variance + LEVEL_VARIANCE, rel=0.03)


def test_gaussian_noise_has_gaussian_tails() -> None:
    noisy = sequence("gaussian_noise", torch.full((1, 1, 64, 64), 0.5), 3, Randomness([0]))[:, 1:]
    standard = (noisy - 0.5 + HALF_LEVEL) / 0.03
    assert standard.pow(3).mean().item() == pytest.approx(0, abs=0.05)
    assert standard.pow(4).mean().item() == pytest.approx(3, abs=0.15)


def test_shot_noise_counts_whole_photons() -> None:
    noisy = sequence("shot_noise", torch.full((1, 1, 64, 64), 0.5), 5, Randomness([0]))[:, 1:]
    photons = {int(count / 60 * 255 + 1e-3) for count in range(61)}
    assert {round(level * 255) for level in noisy.unique().tolist()} <= photons


@pytest.mark.parametrize("name", ["shot_noise", "speckle_noise"])
def test_black_stays_black_where_noise_grows_with_light(name: str) -> None:
    assert sequence(name, torch.zeros(1, 1, 16, 16), 5, Randomness([0])).max() == 0


def test_colour_channels_are_drawn_separately() -> None:
    noisy = sequence("gaussian_noise", torch.full((1, 3, 64, 64), 0.5), 3, Randomness([0]))[0, 1]
    correlation = torch.corrcoef(noisy.flatten(1))
    assert (correlation - torch.eye(3)).abs().max() < 0.06
