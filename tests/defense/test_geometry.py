"""Random rotation, resizing and padding: the geometry is right, and each image has its own."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import rotate

from benchmark.defense.stages import RandomResize, RandomResizeAndPad, RandomRotation
from benchmark.randomness import Randomness


def some_images(count=4, channels=1, size=28):
    coarse = torch.rand(count, channels, 5, 5, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0.05, 0.95)


def streams(count=4):
    return Randomness(range(count))


def extent(image):
    """First and last row and column of an image that are not black."""
    rows, columns = (image.amax(dim=0).amax(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
    return rows[0], rows[-1], columns[0], columns[-1]


@pytest.mark.parametrize("degrees", [-35.0, 20.0, 90.0])
@pytest.mark.parametrize("size", [27, 28])
def test_a_rotation_is_scipys(degrees, size):
    images = some_images(channels=2, size=size)
    turned = RandomRotation(degrees, degrees)(images, streams())
    expected = rotate(images.numpy(), degrees, axes=(2, 3), reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(turned.numpy(), expected, atol=1e-4)


def test_angles_are_drawn_per_image_from_the_whole_range():
    """A bright pixel far from the centre tells the angle of its image."""
    images = torch.zeros(300, 1, 41, 41)
    images[:, 0, 20, 36] = 1
    turned = RandomRotation()(images, streams(300))[:, 0]
    places = torch.arange(41.0) - 20
    right = (turned.sum(dim=1) * places).sum(dim=1) / turned.sum(dim=(1, 2))
    up = -(turned.sum(dim=2) * places).sum(dim=1) / turned.sum(dim=(1, 2))
    angles = torch.rad2deg(torch.atan2(up, right))
    assert 9 < float(angles.min()) < 14
    assert 96 < float(angles.max()) < 101
    assert float(angles.mean()) == pytest.approx(55, abs=5)


def test_a_resized_image_is_that_of_two_bilinear_interpolations():
    images = some_images(channels=2)
    resized = RandomResize(0.75, 0.75)(images, streams())
    small = F.interpolate(images, size=(21, 21), mode="bilinear", antialias=False)
    torch.testing.assert_close(resized, F.interpolate(small, size=(28, 28), mode="bilinear"), atol=1e-5, rtol=1e-5)


def test_resizing_to_the_own_size_changes_nothing():
    images = some_images(channels=3)
    torch.testing.assert_close(RandomResize(1.0, 1.0)(images, streams()), images, atol=1e-6, rtol=0)


def test_sizes_between_the_papers_bounds_are_drawn_evenly():
    """200/224 of 28 pixels is 25: four sizes, hence four results of one image."""
    image = some_images(1).repeat(400, 1, 1, 1)
    resized = RandomResize()(image, streams(400))
    _, counts = resized.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == 4
    assert int(counts.min()) > 70


def test_padding_gives_the_papers_frame_at_299_pixels_and_the_same_shares_at_28():
    stage = RandomResizeAndPad()
    assert stage(torch.rand(1, 3, 299, 299), streams(1)).shape == (1, 3, 331, 331)
    assert stage(some_images(channels=2), streams()).shape == (4, 2, 31, 31)


def test_a_padded_image_has_a_size_and_a_place_of_its_own_and_black_around_it():
    padded = RandomResizeAndPad(smallest=0.8, frame=1.25)(some_images(1).repeat(500, 1, 1, 1), streams(500))
    extents = [extent(image) for image in padded]
    heights = {bottom - top + 1 for top, bottom, _, _ in extents}
    assert heights == set(range(22, 35))
    assert all(bottom - top == right - left for top, bottom, left, right in extents)
    assert {top for top, *_ in extents} > {0, 1, 5, 10}
    assert len({(top, left) for top, _, left, _ in extents}) > 50


def test_the_nearest_pixels_are_those_of_interpolation():
    images = some_images(200)
    for image, padded in zip(images, RandomResizeAndPad()(images, streams(200)), strict=True):
        top, bottom, left, right = extent(padded)
        enlarged = F.interpolate(image[None], size=(bottom - top + 1, right - left + 1), mode="nearest-exact")[0]
        torch.testing.assert_close(padded[:, top : bottom + 1, left : right + 1], enlarged)


def test_a_size_without_choice_only_pads():
    images = some_images()
    padded = RandomResizeAndPad(1.0, 1.0, "bilinear")(images, streams())
    torch.testing.assert_close(padded, images, atol=1e-6, rtol=0)


def test_an_image_that_is_not_square_keeps_its_proportions():
    images = torch.full((50, 1, 20, 40), 0.7)
    padded = RandomResizeAndPad(1.0, 1.5)(images, streams(50))
    assert padded.shape == (50, 1, 30, 60)
    for image in padded:
        top, bottom, left, right = extent(image)
        assert right - left + 1 == 2 * (bottom - top + 1)


@pytest.mark.parametrize(
    "stage",
    [RandomRotation(), RandomResize(0.5, 1), RandomResizeAndPad(0.7), RandomResizeAndPad(0.7, 1.2, "bilinear")],
    ids=["rotation", "resize", "nearest pad", "bilinear pad"],
)
def test_the_gradient_is_the_true_one(stage):
    images = some_images(2, size=7).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: stage.bpda(x, streams(2)), images)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomRotation(20, 10),
        lambda: RandomRotation(0, float("inf")),
        lambda: RandomResize(0, 1),
        lambda: RandomResize(0.9, 0.8),
        lambda: RandomResize(0.9, 1.2),
        lambda: RandomResizeAndPad(1.2, 1.1),
        lambda: RandomResizeAndPad(0, 1.1),
        lambda: RandomResizeAndPad(interpolation="cubic"),
    ],
)
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(ValueError, match=r"range|0 <|interpolation"):
        make()
