"""What stands in for a long vote where thousands of questions are asked of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmark.defense import Defense, Stage
from benchmark.defense.decision import ABSTAINED
from benchmark.defense.stages import BinomialVote, ForeseenVote
from benchmark.randomness import Randomness

LONG = BinomialVote(10_000, alpha=0.001)
FEW = ForeseenVote(LONG, 200)


class Lot(Stage):
    """Adds a number from U[-1, 1) to an image of one pixel: x in [-1, 1] is above zero with chance (1 + x) / 2."""

    stochastic = True

    def apply_true(self, images, draw):
        return images + draw.uniform((1, 1, 1), -1, 1)


class Sign(nn.Module):
    """Class 1 where the pixel is above zero."""

    def forward(self, images):
        return torch.cat([-images.flatten(1), images.flatten(1)], dim=1)


def asked(vote, chances):
    """The decision on images whose copies answer class 1 with these chances."""
    images = torch.tensor([2 * chance - 1 for chance in chances]).reshape(-1, 1, 1, 1)
    return Defense(Sign(), 2, [Lot()], vote).predict(images, Randomness(range(len(chances))))


def test_where_the_long_vote_is_settled_early_its_answer_is_given_copy_for_copy():
    chances = [0.02, 0.1, 0.25, 0.75, 0.9, 0.98] * 5
    few, whole = asked(FEW, chances), asked(LONG, chances)
    early = whole.copies < 200
    assert early.sum() > 15
    for name in ("label", "probs", "score", "copies"):
        assert getattr(few, name)[early].tolist() == getattr(whole, name)[early].tolist()


def test_no_more_than_its_own_copies_are_taken():
    assert asked(FEW, [0.5, 0.49, 0.51]).copies.tolist() == [200] * 3


def test_what_is_not_settled_gets_the_long_votes_label_at_the_same_shares():
    """A lead of 329 in 10 000 has a p-value of 0.001: 3.3 of 100, so 7 of 200."""
    votes = torch.tensor([[103, 97], [104, 96], [96, 104], [100, 100]])
    assert FEW.decide(votes).label.tolist() == [ABSTAINED, 0, 1, ABSTAINED]


@given(st.lists(st.integers(1, 100), min_size=2, max_size=4))
def test_its_probabilities_are_the_shares_of_its_own_copies(counts):
    decision = FEW.decide(torch.tensor([counts]))
    assert decision.probs[0].tolist() == pytest.approx([count / sum(counts) for count in counts], abs=1e-6)
    assert decision.copies.tolist() == [sum(counts)]


@pytest.mark.parametrize("chance", [0.3, 0.45, 0.5165, 0.55, 0.7])
def test_its_answers_are_mostly_the_long_votes(chance):
    """At 0.5165 the long vote answers on half of the images and abstains on the others; so does this one."""
    label = asked(FEW, [chance] * 300).label
    whole = {0.3: 0.0, 0.45: 0.0, 0.5165: 0.43, 0.55: 1.0, 0.7: 1.0}[chance]
    assert abs(float((label == 1).float().mean()) - whole) < 0.25


@settings(max_examples=10, deadline=None)
@given(st.integers(16, 60))
def test_a_full_vote_is_foreseen_from_all_of_the_few_copies(copies):
    """A vote that looks only at its end ends nowhere before."""
    few = ForeseenVote(BinomialVote(1000, sequential=False), copies)
    assert asked(few, [0.0, 1.0]).copies.tolist() == [copies] * 2
    assert asked(few, [0.0, 1.0]).label.tolist() == [0, 1]


@pytest.mark.parametrize("copies", [1, 10_000, 20_000])
def test_as_many_copies_as_the_long_vote_or_one_are_refused(copies):
    with pytest.raises(ValueError, match="from 2 to 9999 copies"):
        ForeseenVote(LONG, copies)
