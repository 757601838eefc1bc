"""What spatter looks like: spots of pale turquoise that run down, and grow more opaque with frame and severity."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from benchmark.corruption import FRAMES, sequence
from benchmark.randomness import Randomness

SIDE, COUNT = 112, 8
TURQUOISE = torch.tensor([175.0, 238.0, 238.0])
RELEASED_OPACITY = 0.6
STRENGTH = {1: 0.5, 2: 0.75, 3: 1.0, 4: 1.25, 5: 1.5}
"""Severity -> share of the released opacity that the last frame has."""


@cache
def light(severity: int) -> Tensor:
    """What spatter adds to black images, in 8-bit levels, (image, frame, channel, row, column)."""
    black = torch.zeros(COUNT, 3, SIDE, SIDE)
    return (sequence("spatter", black, severity, Randomness(range(COUNT))) * 255).round()


def wet(frame: int) -> Tensor:
    """Which pixels of each image are under droplets, (image, row, column)."""
    return (light(5)[:, frame] > 0).any(dim=1)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_the_brightest_spot_is_pale_turquoise_of_an_opacity_that_grows_in_equal_steps(severity: int) -> None:
    opacity = RELEASED_OPACITY * STRENGTH[severity] * torch.linspace(0, 1, FRAMES)
    brightest = light(severity).amax(dim=(3, 4))
    assert (brightest - opacity[:, None] * TURQUOISE).abs().max() <= 1


def test_every_spot_has_the_one_colour() -> None:
    red, green, blue = light(5)[:, -1].unbind(dim=1)
    assert torch.equal(green, blue)
    assert (red - green * TURQUOISE[0] / TURQUOISE[1]).abs().max() <= 1
    assert len(green.unique()) > 50


def test_severity_changes_opacity_and_nothing_else() -> None:
    for severity, strength in STRENGTH.items():
        assert (light(severity) - light(5) * strength / STRENGTH[5]).abs().max() <= 1


def test_spots_hang_together_as_drops_do_and_noise_does_not() -> None:
    """Strewn about singly, the same pixels make more than ten times as many spots."""
    rng, eight_neighbours = np.random.default_rng(0), np.ones((3, 3))
    for image in wet(FRAMES - 1).numpy():
        spots = ndimage.label(image, eight_neighbours)[1]
        strewn = ndimage.label(rng.permutation(image.reshape(-1)).reshape(image.shape), eight_neighbours)[1]
        assert 5 < spots < strewn / 10


def test_drops_run_down_and_cover_more_and_more_of_the_image() -> None:
    """Three quarters of a pixel in every frame at this size: 1.5 px at 224."""
    shares = [float(wet(frame).float().mean()) for frame in (5, 10, 15, 20)]
    assert shares == sorted(shares)
    assert 0.02 < shares[0] < 0.8 * shares[-1] < 0.2
    early, late = (light(3)[:, frame].sum(dim=1) for frame in (5, 15))
    alike = {down: float((early.roll(down, dims=1) * late)[:, 20:-20].sum()) for down in range(-15, 16)}
    assert max(alike, key=lambda down: alike[down]) == pytest.approx(7.5, abs=1)
