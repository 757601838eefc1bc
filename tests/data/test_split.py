"""A split cannot be made wrong, and its parts keep what belongs together."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.data.split import Split
from benchmark.errors import BenchError


def _split(count: int = 6, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    return Split(
        dataset="d",
        name="test",
        images=torch.rand(count, 1, 4, 4, generator=generator),
        labels=torch.randint(0, 3, (count,), generator=generator),
        ids=tuple(f"i{i}" for i in range(count)),
        groups=tuple(f"p{i // 2}" for i in range(count)),
        classes=("a", "b", "c"),
        findings=torch.randint(0, 2, (count, 2), generator=generator).to(torch.uint8),
        masks=torch.randint(0, 2, (count, 4, 4), generator=generator).to(torch.uint8),
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"images": torch.zeros(6, 1, 4, 4, dtype=torch.float64)}, "float32"),
        ({"images": torch.zeros(6, 4, 4)}, r"\(N, C, H, W\)"),
        ({"images": torch.zeros(6, 4, 4, 3)}, "1 or 3 channels"),
        ({"images": torch.full((6, 1, 4, 4), 255.0)}, "divide 8-bit images by 255"),
        ({"images": torch.full((6, 1, 4, 4), float("nan"))}, r"\[0, 1\]"),
        ({"labels": torch.zeros(6, dtype=torch.int32)}, "int64"),
        ({"labels": torch.zeros(6, 1, dtype=torch.int64)}, "int64"),
        ({"labels": torch.full((6,), 3)}, "labels range from 3 to 3"),
        ({"labels": torch.full((6,), -1)}, "labels range from -1"),
        ({"ids": ("x",) * 6}, "'x' is used twice"),
        ({"groups": ("x",)}, "ids and groups"),
        ({"findings": torch.zeros(5, 2, dtype=torch.uint8)}, "findings must be"),
        ({"findings": torch.full((6, 2), 2, dtype=torch.uint8)}, "values 0 and 1"),
        ({"masks": torch.zeros(6, 3, 4, dtype=torch.uint8)}, "masks must be"),
        ({"masks": torch.zeros(6, 4, 4)}, "masks must be uint8"),
    ],
)
def test_a_wrong_split_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BenchError, match=complaint):
        replace(_split(), **change)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), unique=True))))
def test_a_subset_keeps_what_belongs_together(case: tuple[int, list[int]]) -> None:
    count, indices = case
    whole = _split(count)
    part = whole.subset(indices)
    assert len(part) == len(indices)
    for place, index in enumerate(indices):
        assert part.ids[place] == whole.ids[index]
        assert part.groups[place] == whole.groups[index]
        assert torch.equal(part.images[place], whole.images[index])
        assert part.labels[place] == whole.labels[index]
        assert part.findings is not None
        assert part.masks is not None
        assert whole.findings is not None
        assert whole.masks is not None
        assert torch.equal(part.findings[place], whole.findings[index])
        assert torch.equal(part.masks[place], whole.masks[index])


@given(st.permutations(range(6)))
def test_ids_and_indices_choose_the_same_images(order: list[int]) -> None:
    whole = _split()
    assert whole.by_ids([f"i{i}" for i in order]).content_hash == whole.subset(order).content_hash


@given(st.permutations(range(6)))
def test_the_hash_tells_every_other_order_apart(order: list[int]) -> None:
    whole = _split()
    assert (whole.subset(order).content_hash == whole.content_hash) == (order == sorted(order))


def test_the_hash_sees_one_changed_pixel_label_and_id() -> None:
    whole = _split()
    images, labels = whole.images.clone(), whole.labels.clone()
    images[3, 0, 1, 2] = 1.0 - images[3, 0, 1, 2]
    labels[2] = (labels[2] + 1) % 3
    changed = [
        replace(whole, images=images),
        replace(whole, labels=labels),
        replace(whole, ids=(*whole.ids[:5], "other")),
    ]
    assert len({whole.content_hash, *(split.content_hash for split in changed)}) == 4


def test_an_index_outside_is_refused() -> None:
    with pytest.raises(BenchError, match="index 6 does not exist; use 0 to 5"):
        _split().subset([0, 6])


def test_an_image_cannot_be_chosen_twice() -> None:
    with pytest.raises(BenchError, match="'i1' is used twice"):
        _split().subset([1, 1])


def test_an_unknown_id_is_refused() -> None:
    with pytest.raises(BenchError, match="has no image 'nobody'"):
        _split().by_ids(["i0", "nobody"])
