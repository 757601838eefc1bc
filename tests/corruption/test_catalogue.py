"""Names, orders of comparison and bad input."""

import pytest
import torch

from benchmark.corruption import (
    FRAMES,
    PERTURBATIONS,
    RELEASED_FRAMES,
    comparison,
    frame_count,
    frames,
    is_noise,
)
from benchmark.corruption.catalogue import NOISE_LEVELS, SEVERITIES, STEP_FACTORS
from benchmark.errors import BenchError
from benchmark.randomness import Randomness

IMAGE = torch.full((1, 1, 8, 8), 0.5)


def test_there_are_fourteen_perturbations_of_which_three_are_noises() -> None:
    assert len(set(PERTURBATIONS)) == 14
    assert [name for name in PERTURBATIONS if is_noise(name)] == ["gaussian_noise", "shot_noise", "speckle_noise"]


def test_frames_number_21_in_the_paper_and_10_in_its_code() -> None:
    assert (frame_count("paper"), frame_count("released-code")) == (FRAMES, RELEASED_FRAMES) == (21, 10)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_noise_compares_with_the_first_frame_the_rest_with_the_one_before(name: str) -> None:
    assert comparison(name) == ("first" if name.endswith("_noise") else "previous")


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_multilabel_sequences_all_compare_with_the_first_frame(name: str) -> None:
    assert comparison(name, multilabel=True) == "first"


def test_severity_3_has_the_released_step_and_levels() -> None:
    assert STEP_FACTORS[3] == 1.0
    assert {name: levels[3] for name, levels in NOISE_LEVELS.items()} == {
        "gaussian_noise": 0.03,
        "shot_noise": 300.0,
        "speckle_noise": 0.05,
    }
    assert set(STEP_FACTORS) == set(SEVERITIES)


@pytest.mark.parametrize(
    ("name", "severity", "mode", "message"),
    [
        ("gausian_noise", 3, "paper", "Unknown perturbation 'gausian_noise'. Did you mean 'gaussian_noise'?"),
        ("fog", 3, "paper", "Unknown perturbation 'fog'. Known: brightness, gaussian_blur"),
        ("snow", 6, "paper", "Unknown severity '6'. Known: 1, 2, 3, 4, 5."),
        ("snow", 0, "paper", "Unknown severity '0'"),
        ("snow", True, "paper", "Unknown severity 'True'"),
        ("snow", 3, "released", "Unknown corruption mode 'released'. Did you mean 'released-code'?"),
    ],
)
def test_a_wrong_choice_is_answered_at_once_with_the_near_miss(
    name: str, severity: int, mode: str, message: str
) -> None:
    with pytest.raises(BenchError) as caught:
        frames(name, IMAGE, severity, Randomness([0]), mode)  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize("name", [is_noise, comparison])
def test_questions_about_an_unknown_name_are_refused(name: object) -> None:
    with pytest.raises(BenchError, match="Did you mean 'rotate'"):
        name("rotat")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("images", "streams", "message"),
    [
        (torch.zeros(1, 8, 8), 1, "shape"),
        (torch.zeros(1, 2, 8, 8), 1, "shape"),
        (torch.zeros(1, 1, 1, 8), 1, "shape"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), 1, "float32"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.float64), 1, "float32"),
        (torch.zeros(2, 1, 8, 8), 1, "2 images, 1 streams"),
        (torch.full((1, 1, 8, 8), 255.0), 1, "divide 8-bit images by 255"),
        (torch.full((1, 1, 8, 8), float("nan")), 1, "without NaN"),
    ],
)
def test_images_of_another_kind_are_refused(images: torch.Tensor, streams: int, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        frames("rotate", images, 3, Randomness(range(streams)))


def test_streams_on_another_device_are_refused() -> None:
    with pytest.raises(BenchError, match="one device, got cpu and meta"):
        frames("rotate", IMAGE, 3, Randomness([0], device="meta"))
