"""Batches have so many pixels at most and are halved when memory runs out; no row depends on them."""

import pytest
import torch
from pandas.testing import assert_frame_equal

from benchmark.attacks import build
from benchmark.engine import cell_run
from benchmark.engine.batches import Batches, is_out_of_memory

CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "8589934592 bytes. Error code 12 (Cannot allocate memory)"
)
CUDA = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB.")


def scarce(room, error, seen):
    """Work that takes at most ``room`` images at once."""

    def work(batch):
        seen.append(len(batch))
        if len(batch) > room:
            raise error
        return [10 * image for image in batch]

    return work


@pytest.mark.parametrize("error", [CPU, CUDA], ids=["cpu", "cuda"])
def test_both_allocators_are_understood(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), MemoryError("too big")])
def test_other_errors_are_none_of_memory(error):
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("pixels", "most_images", "size"), [(28 * 28, 64, 64), (28 * 28, None, 1337), (224 * 224, 64, 20), (1024**2, 64, 1)]
)
def test_a_batch_has_so_many_pixels_at_most(pixels, most_images, size):
    assert Batches(pixels, 2**20, most_images).size == size


def test_an_image_larger_than_a_batch_goes_alone():
    assert Batches(100, 10).size == 1


@pytest.mark.parametrize("error", [CPU, CUDA], ids=["cpu", "cuda"])
def test_a_batch_that_is_too_large_is_halved_until_it_fits_and_stays_so(error):
    seen: list[int] = []
    batches = Batches(1, 16)
    assert batches.over(range(20), scarce(5, error, seen)) == [10 * image for image in range(20)]
    assert seen == [16, 8, 4, 4, 4, 4, 4]
    assert batches.size == 4


def test_one_image_that_does_not_fit_is_a_failure_of_that_image():
    seen: list[int] = []
    found = Batches(1, 2).over(range(3), scarce(0, CUDA, seen), lambda batch, error: [str(error)] * len(batch))
    assert found == [str(CUDA)] * 3
    assert seen == [2, 1, 1, 1]


def test_without_anything_to_make_of_a_failure_it_is_passed_on():
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        Batches(1, 1).over([0], scarce(0, CPU, []))


@pytest.mark.slow
def test_an_attack_that_runs_out_of_memory_makes_the_rows_of_one_that_does_not(run, whole, monkeypatch):
    """Auto-PGD takes at most three images at once here, and so it is tried with eight, four, and two."""
    sizes = []

    def build_scarce(method, params):
        honest = build(method, params)
        if method != "apgd":
            return honest

        class Scarce:
            knowledge = honest.knowledge

            def __call__(self, view, task, images, *rest):
                sizes.append(len(images))
                if len(images) > 3:
                    raise CPU
                return honest(view, task, images, *rest)

        return Scarce()

    monkeypatch.setattr(cell_run, "build", build_scarce)
    for submission in ("plain", "voting"):
        rows = run([submission], ["white-box"]).rows(submission, "white-box")
        told = ["sample_id", "attack", "eps_255", "status", "correct", "pred", "skipped", "broken_by", "queries"]
        assert_frame_equal(rows[told], whole.rows(submission, "white-box")[told])
    assert max(sizes) > 3


@pytest.mark.parametrize("pixels", [2 * 144])
def test_a_smaller_bound_on_pixels_changes_no_verdict(run, whole, pixels):
    other = run(["jpeg"], ["no-box", "gray-box", "white-box"], batch_pixels=pixels)
    told = ["sample_id", "attack", "eps_255", "correct", "pred", "skipped", "broken_by", "queries"]
    for track in ("no-box", "gray-box", "white-box"):
        assert_frame_equal(other.rows("jpeg", track)[told], whole.rows("jpeg", track)[told])
