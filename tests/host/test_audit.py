"""Which differences between two answers to one call are a defense's, and which are rounding."""

import pytest
import torch

from benchmark.host.audit import Audit, Call

IMAGES = {"images": torch.zeros(2, 1, 2, 2)}


def call(**answer: torch.Tensor) -> Call:
    return Call({"op": "decide", "graph": None}, {}, answer, 1.0)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_a_difference_counts_by_the_largest_number(scale: float) -> None:
    told = torch.tensor([[1.0, -2.0], [0.5, 0.1]]) * scale
    assert call(logits=told).answered_alike({"logits": told * (1 + 1e-6)})
    assert not call(logits=told).answered_alike({"logits": told * 1.01})


@pytest.mark.parametrize(("first", "alike"), [(0.50001, True), (0.6, False)])
def test_a_label_may_differ_where_two_classes_are_as_good_as_equal(first: float, alike: bool) -> None:
    probs = torch.tensor([[first, 1 - first], [0.9, 0.1]])
    told = call(probs=probs, label=torch.tensor([0, 0]))
    assert told.answered_alike({"probs": probs, "label": torch.tensor([1, 0])}) == alike


def test_an_answer_of_other_parts_or_shapes_is_another() -> None:
    told = call(logits=torch.zeros(2, 3))
    assert not told.answered_alike({"logits": torch.zeros(2, 2)})
    assert not told.answered_alike({"score": torch.zeros(2, 3)})


def test_numbers_that_are_none_are_alike() -> None:
    told = torch.tensor([float("nan"), float("inf"), 1.0])
    assert call(score=told).answered_alike({"score": told.clone()})


def test_what_is_noted_does_not_change_with_the_attacks_own_tensors() -> None:
    audit, images = Audit(), torch.zeros(1, 1, 2, 2)
    audit.note({"op": "logits", "graph": 0}, {"images": images}, {"logits": torch.zeros(1, 2)}, 1.0)
    images += 1
    assert audit.chosen is not None
    assert float(audit.chosen.given["images"].sum()) == 0


def test_each_call_may_be_the_one_that_is_noted() -> None:
    chosen = set()
    for _ in range(60):
        audit = Audit()
        for number in range(3):
            audit.note({"op": "logits", "graph": number}, IMAGES, {}, 1.0)
        assert audit.chosen is not None
        chosen.add(audit.chosen.message["graph"])
    assert chosen == {0, 1, 2}


def test_the_first_backward_pass_of_the_chosen_call_is_noted_with_it() -> None:
    audit = Audit()
    audit.note({"op": "logits", "graph": 4}, IMAGES, {}, 1.0)
    for number in (3, 4, 4):
        audit.note({"op": "backward", "graph": number}, {}, {"gradient": torch.full((1,), float(number))}, 1.0)
    assert audit.chosen is not None
    assert audit.chosen.back is not None
    assert audit.chosen.back.message["graph"] == 4
