"""No patient is torn between splits, every class comes to each of them, and anybody draws the same."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import BenchError
from benchmark.intake.found import Found
from benchmark.intake.splitting import torn_patients, with_splits

pairs = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ab")), min_size=1, max_size=120)


def _images(told: list[tuple[int, str]], split: str | None = None) -> list[Found]:
    base = [(100 + number, "ab"[number % 2]) for number in range(12)]
    return [Found(f"{i}.png", label, f"p{who}", split) for i, (who, label) in enumerate([*told, *base])]  # type: ignore[arg-type]


@given(pairs, st.randoms(use_true_random=False))
def test_drawn_splits_tear_no_patient_and_hang_on_names_alone(
    told: list[tuple[int, str]], order: random.Random
) -> None:
    images = _images(told)
    drawn, how = with_splits(images)
    assert torn_patients(drawn) == []
    assert "SHA-256" in how
    for split in ("train", "val", "test"):
        assert {image.label for image in drawn if image.split == split} == {"a", "b"}
    shuffled = order.sample(images, len(images))
    assert {(i.file, i.split) for i in with_splits(shuffled)[0]} == {(i.file, i.split) for i in drawn}


def test_a_fifth_of_the_patients_is_tested_and_a_tenth_validates() -> None:
    images = [Found(f"{i}.png", "ab"[i % 2], f"p{i}", None) for i in range(200)]
    drawn, _ = with_splits(images)
    assert [sum(image.split == split for image in drawn) for split in ("train", "val", "test")] == [140, 20, 40]


def test_a_validation_split_is_drawn_from_training_patients_alone() -> None:
    images = [Found(f"{i}.png", "ab"[i % 2], f"p{i // 2}", "test" if i < 20 else "train") for i in range(120)]
    drawn, how = with_splits(images)
    assert torn_patients(drawn) == []
    assert "no validation split" in how
    assert [image for image in drawn if image.split == "test"] == images[:20]
    assert {image.label for image in drawn if image.split == "val"} == {"a", "b"}


def test_a_set_for_tests_alone_stays_one() -> None:
    images = [Found("1", "a", "p", "test"), Found("2", "b", "q", "test")]
    assert with_splits(images) == (images, "As the data have them; for tests alone.")


def test_data_without_test_images_are_refused() -> None:
    with pytest.raises(BenchError, match="no test images"):
        with_splits([Found("1", "a", "p", "train"), Found("2", "b", "q", "val")])


def test_a_class_with_too_few_patients_is_refused() -> None:
    images = [Found(f"{i}", "a", f"p{i}", None) for i in range(9)] + [
        Found(f"b{i}", "b", f"q{i % 2}", None) for i in range(9)
    ]
    with pytest.raises(BenchError, match=r"class 'b' has only 2 patients .* too few"):
        with_splits(images)
