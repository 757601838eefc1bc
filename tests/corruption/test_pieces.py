"""The pieces that snow, spatter and the scaled parameters are made of."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from benchmark.corruption import weather
from benchmark.corruption.catalogue import Course
from benchmark.corruption.droplets import canny, droplet_mask, edge_distance, equalised
from benchmark.corruption.pixels import filtered, gaussian_blurred, motion_taps
from benchmark.corruption.warp import stretched
from benchmark.randomness import Randomness


def liquid_levels(seed: int, side: int = 96) -> NDArray[np.uint8]:
    """A layer of dry and wet patches as spatter sees it."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 3)
    layer = 0.65 + 0.03 * noise / noise.std()
    return np.uint8(255 * np.clip(np.where(layer < 0.67, 0, layer), 0, 1))


def as_layer(levels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(levels.astype(np.float32))[None, None]


def course(name: str, count: int) -> Course:
    return Course(name, 3, "paper", Randomness(range(count)))


@pytest.mark.parametrize("seed", range(5))
def test_canny_finds_opencvs_edges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texture = np.uint8(np.clip(ndimage.gaussian_filter(rng.random((80, 90)), 2) * 1200 - 470, 0, 255))
    for levels in (liquid_levels(seed), texture):
        theirs = cv2.Canny(levels, 50, 150) > 0
        assert theirs.any()
        assert np.array_equal(canny(as_layer(levels))[0, 0].numpy(), theirs)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), most=st.integers(1, 255))
@example(seed=2967, most=13)
def test_equalised_is_opencvs_histogram_equalisation_but_for_exact_halves(seed: int, most: int) -> None:
    """Which way a half is rounded hangs on the last bit of OpenCV's single-precision scale."""
    levels = np.random.default_rng(seed).integers(0, most, (17, 23), dtype=np.uint8)
    ours, theirs = equalised(as_layer(levels))[0, 0].numpy(), cv2.equalizeHist(levels).astype(np.float32)
    rank = np.searchsorted(np.sort(levels, axis=None), levels, side="right")
    first = rank.min()
    twice = 2 * 255 * (rank - first)
    # A half is what an odd number of halves of the whole makes.
    half = (twice % max(levels.size - first, 1) == 0) & (twice // max(levels.size - first, 1) % 2 == 1)
    assert np.array_equal(ours[~half], theirs[~half])
    assert (np.abs(ours - theirs) <= 1).all()


def test_edge_distance_is_opencvs_precise_distance() -> None:
    edges = canny(as_layer(liquid_levels(0)))
    theirs = cv2.distanceTransform(np.uint8(~edges[0, 0].numpy()), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert np.allclose(edge_distance(edges, edges.float())[0, 0].numpy(), theirs, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_droplets_are_shaded_as_the_released_recipe_does(seed: int) -> None:
    levels = liquid_levels(seed)
    distance = cv2.distanceTransform(255 - cv2.Canny(levels, 50, 150), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    smooth = np.uint8(cv2.blur(np.minimum(distance, 20), (3, 3)) + 1e-3)
    emboss = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    relief = cv2.blur(cv2.filter2D(cv2.equalizeHist(smooth), cv2.CV_8U, emboss), (3, 3)).astype(np.float32)
    theirs = levels * relief / (levels * relief).max()
    ours = droplet_mask(as_layer(levels) / 255 + 1e-5, 1.0)[0, 0].numpy()
    assert np.allclose(ours, theirs, atol=1 / 255)


def test_a_dry_layer_has_no_droplets() -> None:
    assert droplet_mask(torch.zeros(2, 1, 56, 56), 0.25).abs().max() == 0


@pytest.mark.parametrize("times", [1, 5, 20])
def test_running_droplets_are_the_released_column_filter_repeated(times: int) -> None:
    layer = np.zeros((160, 8))
    layer[40:60, 2:5] = np.random.default_rng(0).random((20, 3))
    theirs = layer
    for _ in range(times):
        theirs = np.apply_along_axis(np.convolve, 0, theirs, [0.05, 0.1, 0.15, 0.7], mode="same")
    taps = weather._drip_taps(times, 1.0)
    ours = filtered(torch.from_numpy(layer)[None, None].float(), taps, "constant")[0, 0].numpy()
    assert np.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("side", [56, 64, 112, 224])
def test_the_wet_share_does_not_depend_on_image_size(side: int) -> None:
    wet = (weather._liquid(course("spatter", 16), side, side) > 0).float().mean().item()
    assert wet == pytest.approx(0.0298, abs=0.006)


@pytest.mark.parametrize("side", [28, 32, 64, 100, 224])
def test_as_much_snow_falls_on_a_small_image(side: int) -> None:
    flakes = weather._flakes(torch.zeros(64, 1, side, side), course("snow", 64))
    assert flakes.mean().item() == pytest.approx(0.0079, abs=0.0012)


@pytest.mark.parametrize(("old", "factor"), [(75, 3), (10, 3), (7, 2)])
def test_enlarging_is_scipys_linear_zoom(old: int, factor: int) -> None:
    layer = np.random.default_rng(0).random((old, old)).astype(np.float32)
    theirs = ndimage.zoom(layer, factor, order=1)
    ours = stretched(torch.from_numpy(layer), old * factor, old * factor).numpy()
    assert np.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(("side", "block"), [(28, 8), (32, 7), (56, 4), (112, 2)])
def test_blurring_a_small_image_is_blurring_it_at_224_px_and_shrinking(side: int, block: int) -> None:
    small = np.random.default_rng(0).random((side, side))
    large = ndimage.gaussian_filter(np.kron(small, np.ones((block, block))), 0.7, truncate=6.0, mode="nearest")
    theirs = large.reshape(side, block, side, block).mean(axis=(1, 3))
    ours = gaussian_blurred(torch.from_numpy(small)[None, None].float(), 0.7, 6.0)[0, 0].numpy()
    assert np.allclose(ours, theirs, atol=1e-5)


def test_the_trail_of_snow_is_imagemagicks() -> None:
    # Output of ImageMagick 6.9.11 for "-motion-blur 14x4-150" on one white pixel: (row, column) from it: level.
    expected = {(0, 0): 46, (1, 1): 44, (1, 2): 40, (1, 3): 34, (2, 3): 28, (2, 4): 21, (3, 5): 15}
    taps = motion_taps(1.0, 14, 4, -150)
    for (down, right), level in expected.items():
        assert int(255 * taps[-down, -right]) == level


@settings(max_examples=30, deadline=None)
@given(size=st.floats(0.1, 2.0), radius=st.floats(0.1, 14), sigma=st.floats(0.05, 5), angle=st.floats(-360, 360))
def test_a_motion_trail_has_weight_one_and_stays_in_its_radius(
    size: float, radius: float, sigma: float, angle: float
) -> None:
    taps = motion_taps(size, radius, sigma, angle)
    assert sum(taps.values()) == pytest.approx(1)
    assert min(taps.values()) > 0
    reach = 2 * (radius + 1) * size + 2
    assert max(max(abs(dy), abs(dx)) for dy, dx in taps) <= reach
