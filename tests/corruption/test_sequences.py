"""What holds for every sequence, whatever it shows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmark.corruption import (
    FRAMES,
    PERTURBATIONS,
    RELEASED_FRAMES,
    SEVERITIES,
    Mode,
    frames,
    sequence,
)
from benchmark.randomness import Randomness


def smooth_images(count: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Images with large dark and bright areas, on 8-bit levels."""
    coarse = torch.rand(count, channels, 6, 6, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear").clamp(0, 1)
    return torch.floor(fine * 255) / 255


def seeds(count: int) -> Randomness:
    return Randomness(range(count))


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(PERTURBATIONS),
    mode=st.sampled_from(["paper", "released-code"]),
    severity=st.sampled_from(SEVERITIES),
    count=st.integers(1, 2),
    channels=st.sampled_from([1, 3]),
    height=st.integers(4, 72),
    width=st.integers(4, 72),
)
def test_frames_are_finite_in_range_and_on_8_bit_levels(
    name: str, mode: Mode, severity: int, count: int, channels: int, height: int, width: int
) -> None:
    images = smooth_images(count, channels, height, width)
    made = sequence(name, images, severity, seeds(count), mode)
    length = FRAMES if mode == "paper" else RELEASED_FRAMES
    assert made.shape == (count, length, channels, height, width)
    assert made.dtype == torch.float32
    assert made.min() >= 0
    assert made.max() <= 1
    levels = made * 255
    assert torch.allclose(levels, levels.round(), atol=1e-3)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_paper_sequence_starts_at_the_clean_image_bit_for_bit(name: str) -> None:
    images = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    assert torch.equal(sequence(name, images, 5, seeds(2))[:, 0], images)


@pytest.mark.parametrize("mode", ["paper", "released-code"])
@pytest.mark.parametrize("name", PERTURBATIONS)
def test_an_image_comes_out_the_same_alone_and_in_any_batch(name: str, mode: Mode) -> None:
    images = smooth_images(5, 1, 28, 28)
    together = sequence(name, images, 4, seeds(5), mode)
    alone = sequence(name, images[3:4], 4, Randomness([3]), mode)
    reordered = sequence(name, images[[4, 3, 0]], 4, Randomness([4, 3, 0]), mode)
    assert torch.equal(together[3:4], alone)
    assert torch.equal(together[[4, 3, 0]], reordered)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_same_seed_gives_the_same_sequence_whatever_was_drawn_before(name: str) -> None:
    images = smooth_images(2, 1, 28, 28)
    used = seeds(2)
    used.normal((7,))
    assert torch.equal(sequence(name, images, 3, seeds(2)), sequence(name, images, 3, used))


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "speckle_noise", "snow", "spatter"])
def test_another_seed_gives_another_sequence(name: str) -> None:
    images = smooth_images(1, 1, 64, 64)
    assert not torch.equal(sequence(name, images, 3, Randomness([1])), sequence(name, images, 3, Randomness([2])))


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (64, 3)])
@pytest.mark.parametrize("name", PERTURBATIONS)
def test_deviation_from_the_clean_image_rises_with_severity(name: str, size: int, channels: int) -> None:
    images = smooth_images(8, channels, size, size) * 0.9
    deviations = [
        (sequence(name, images, severity, seeds(8)) - images[:, None]).flatten(2).norm(dim=2).mean().item()
        for severity in SEVERITIES
    ]
    assert deviations == sorted(deviations)
    assert len(set(deviations)) == len(SEVERITIES)
    assert deviations[0] > 0


@pytest.mark.parametrize("name", [name for name in PERTURBATIONS if not name.endswith("_noise")])
def test_paper_frames_leave_the_clean_image_step_by_step(name: str) -> None:
    texture = torch.rand(8, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    images = torch.floor((0.8 * smooth_images(8, 1, 64, 64) + 0.2 * texture) * 255 * 0.6) / 255
    made = sequence(name, images, 3, seeds(8))
    away = (made - images[:, None]).flatten(2).norm(dim=2).mean(dim=0)
    assert away[5] < away[10] < away[20]
    assert away[1] < 0.35 * away[20]


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "speckle_noise"])
def test_noise_frames_are_independent_draws_around_the_clean_image(name: str) -> None:
    images = torch.full((1, 1, 64, 64), 0.5)
    noise = (sequence(name, images, 4, seeds(1)) - images[:, None])[0, 1:].flatten(1)
    correlation = torch.corrcoef(noise)
    off_diagonal = correlation[~torch.eye(len(noise), dtype=torch.bool)]
    assert off_diagonal.abs().max() < 0.08


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "speckle_noise", "zoom_blur"])
def test_the_released_sequences_that_start_clean_do(name: str) -> None:
    images = smooth_images(2, 3, 28, 28)
    assert torch.equal(sequence(name, images, 3, seeds(2), "released-code")[:, 0], images)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_released_code_knows_one_severity(name: str) -> None:
    images = smooth_images(1, 1, 28, 28)
    mild = sequence(name, images, 1, seeds(1), "released-code")
    assert torch.equal(mild, sequence(name, images, 5, seeds(1), "released-code"))


@pytest.mark.parametrize("name", ["motion_blur", "snow"])
def test_frame_20_at_severity_3_has_the_released_strength(name: str) -> None:
    images = smooth_images(4, 1, 64, 64)
    paper = sequence(name, images, 3, seeds(4))[:, 20]
    released = sequence(name, images, 3, seeds(4), "released-code")[:, 9]
    far = (paper - images).norm().item()
    assert far == pytest.approx((released - images).norm().item(), rel=0.25)


def test_frames_come_one_by_one() -> None:
    images = smooth_images(1, 1, 28, 28)
    made = frames("rotate", images, 2, seeds(1))
    first, second = next(made), next(made)
    whole = sequence("rotate", images, 2, seeds(1))
    assert torch.equal(torch.stack([first, second], dim=1), whole[:, :2])
    assert len(list(made)) == FRAMES - 2


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_input_is_left_as_it_was(name: str) -> None:
    images = smooth_images(1, 3, 28, 28)
    before = images.clone()
    sequence(name, images, 3, seeds(1))
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_an_empty_batch_gives_an_empty_sequence(name: str) -> None:
    made = sequence(name, torch.zeros(0, 1, 28, 28), 3, seeds(0))
    assert made.shape == (0, FRAMES, 1, 28, 28)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_images_larger_than_the_reference_and_not_square_are_served(name: str) -> None:
    images = smooth_images(1, 3, 300, 240)
    made = sequence(name, images, 3, seeds(1), "released-code")
    assert made.shape == (1, RELEASED_FRAMES, 3, 300, 240)
    assert made.min() >= 0
    assert made.max() <= 1
    assert not torch.equal(made[:, 9], images)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_grey_and_colour_forms_agree_in_luminance(name: str) -> None:
    # Dark enough that no channel is clipped; clipping would change the luminance.
    grey = smooth_images(4, 1, 64, 64) * 0.3
    one = sequence(name, grey, 3, seeds(4))
    three = sequence(name, grey.expand(-1, 3, -1, -1).contiguous(), 3, seeds(4))
    if name.endswith("_noise"):
        assert three.mean() == pytest.approx(one.mean().item(), abs=5e-3)
    else:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        assert (three * weights).sum(dim=2, keepdim=True).sub(one).abs().max() < 2.1 / 255


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", PERTURBATIONS)
def test_cuda_gives_what_the_cpu_gives(name: str) -> None:
    images = smooth_images(3, 3, 28, 28)
    there = sequence(name, images.cuda(), 4, Randomness(range(3), device="cuda"))
    assert torch.equal(there.cpu(), sequence(name, images, 4, seeds(3)))
