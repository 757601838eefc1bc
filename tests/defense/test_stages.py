"""Stages against reference implementations, and what their gradients are."""

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter
from scipy.stats import binom

from benchmark.defense.stages import Jpeg, MedianFilter, SaltAndPepper
from benchmark.randomness import Randomness


def some_images(count=3, channels=1, size=24, seed=0):
    """Smooth 8-bit images, as photographs are."""
    coarse = torch.rand(count, channels, 5, 5, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    return (smooth * 255).round() / 255


def streams(count, seed=0):
    return Randomness(range(seed, seed + count))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [20, 80, 95])
def test_jpeg_is_opencvs_jpeg_up_to_a_rounding_of_the_codec(channels, quality):
    images = some_images(channels=channels)
    ours = Jpeg(quality)(images, streams(3))
    for image, mine in zip(images, ours, strict=True):
        # OpenCV stores colours as blue, green, red.
        array = (image * 255).round().to(torch.uint8).permute(1, 2, 0).flip(2).contiguous().numpy()
        _, file = cv2.imencode(".jpg", array, [cv2.IMWRITE_JPEG_QUALITY, quality])
        theirs = cv2.imdecode(file, cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE)
        theirs = theirs.reshape(array.shape)[:, :, ::-1].transpose(2, 0, 1).astype(int)
        assert np.abs((mine * 255).round().numpy() - theirs).max() <= 2


def test_jpeg_of_lower_quality_changes_an_image_more():
    images = some_images() * 0.8 + 0.1 * torch.rand(3, 1, 24, 24, generator=torch.Generator().manual_seed(1))
    errors = [float((Jpeg(quality)(images, streams(3)) - images).abs().mean()) for quality in (95, 80, 50, 10)]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1]


@pytest.mark.parametrize("quality", [0, 101, -3])
def test_jpeg_refuses_a_quality_that_libjpeg_does_not_know(quality):
    with pytest.raises(ValueError, match="1 to 100"):
        Jpeg(quality)


def test_jpeg_refuses_two_channels():
    with pytest.raises(ValueError, match="1 or 3 channels"):
        Jpeg(80)(torch.rand(1, 2, 8, 8), streams(1))


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (2, 3, 5, 9), (4, 1, 28, 28)])
def test_the_median_filter_is_scipys_with_a_mirrored_border(shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    expected = [[median_filter(plane, size=3, mode="mirror") for plane in image] for image in images.numpy()]
    np.testing.assert_array_equal(MedianFilter()(images, streams(shape[0])).numpy(), np.array(expected))


def test_the_median_filters_gradient_goes_to_the_pixel_that_each_output_copied():
    images = torch.rand(2, 1, 7, 7, generator=torch.Generator().manual_seed(3)).requires_grad_()
    output = MedianFilter().bpda(images, streams(2))
    output.sum().backward()
    copies = torch.stack([(output[i].detach()[..., None, None] == images[i, 0]).sum(dim=(0, 1, 2)) for i in range(2)])
    torch.testing.assert_close(images.grad[:, 0], copies.float())


def test_pixels_that_share_the_median_share_its_gradient():
    """Salt and pepper makes many equal pixels: here each output is one of the nine ones around it."""
    images = torch.ones(1, 1, 6, 6, requires_grad=True)
    MedianFilter().bpda(images, streams(1)).sum().backward()
    torch.testing.assert_close(images.grad[0, 0, 2:4, 2:4], torch.ones(2, 2))
    torch.testing.assert_close(images.grad.sum(), torch.tensor(36.0))


@pytest.mark.parametrize("level", [0.02, 0.1, 0.5, 1.0])
def test_salt_and_pepper_corrupts_the_stated_share_of_pixels_half_black_half_white(level):
    images = torch.full((4, 1, 100, 100), 0.5)
    noisy = SaltAndPepper(level)(images, streams(4))
    for value in (0.0, 1.0):
        low, high = binom.ppf([1e-6, 1 - 1e-6], images.numel(), level / 2)
        assert low <= int((noisy == value).sum()) <= high
    assert set(noisy.unique().tolist()) <= {0.0, 0.5, 1.0}


def test_salt_and_pepper_at_level_zero_changes_nothing():
    images = torch.rand(2, 3, 9, 9)
    torch.testing.assert_close(SaltAndPepper(0.0)(images, streams(2)), images, rtol=0, atol=0)


def test_salt_and_pepper_takes_all_channels_of_a_pixel_together():
    noisy = SaltAndPepper(0.4)(torch.full((2, 3, 30, 30), 0.5), streams(2))
    torch.testing.assert_close(noisy, noisy[:, :1].expand_as(noisy))


def test_salt_and_peppers_gradient_is_one_where_the_draw_left_the_pixel_alone():
    images = torch.full((2, 1, 20, 20), 0.5, requires_grad=True)
    noisy = SaltAndPepper(0.3).bpda(images, streams(2))
    noisy.sum().backward()
    torch.testing.assert_close(images.grad, (noisy.detach() == 0.5).float())


@pytest.mark.parametrize("level", [-0.1, 1.5])
def test_salt_and_pepper_refuses_what_is_no_share(level):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        SaltAndPepper(level)
