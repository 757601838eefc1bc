"""MedRDF's vote against the binomial test and the paper's formulas."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchmark.defense.decision import ABSTAINED
from benchmark.defense.stages import BinomialVote

COUNTS = st.lists(st.integers(0, 60), min_size=2, max_size=5).filter(lambda counts: sum(counts) >= 2)


def ballots(counts):
    """Logits (1, n, K) of n copies of which ``counts[k]`` answer k."""
    answers = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    return torch.nn.functional.one_hot(answers, len(counts)).float()[None]


@given(counts=COUNTS, alpha=st.sampled_from([0.001, 0.01, 0.05, 0.3]))
def test_it_abstains_exactly_where_scipys_two_sided_test_finds_no_lead(counts, alpha):
    second, first = sorted(counts)[-2:]
    p_value = binomtest(first, first + second, 0.5).pvalue
    decision = BinomialVote(sum(counts), alpha).decide(ballots(counts))
    expected = counts.index(first) if p_value <= alpha else ABSTAINED
    # scipy's p-value and ours may round apart; neither is right to sixteen digits.
    if abs(p_value - alpha) > 1e-12:
        assert decision.label.tolist() == [expected]


@given(counts=COUNTS)
def test_probs_are_shares_of_the_votes_and_the_score_is_the_robust_metric(counts):
    second, first = sorted(counts)[-2:]
    decision = BinomialVote(sum(counts)).decide(ballots(counts))
    assert decision.probs[0].tolist() == pytest.approx([count / sum(counts) for count in counts], abs=1e-6)
    assert float(decision.score[0]) == pytest.approx(len(counts) * (first - second) / sum(counts), abs=1e-5)


@given(count=st.integers(1, 200), alpha=st.floats(0.0001, 0.9))
def test_a_tie_is_an_abstention_at_any_level(count, alpha):
    assert BinomialVote(2 * count, alpha).decide(ballots([count, count])).abstained.all()


def test_unanimity_of_a_hundred_copies_has_the_highest_robust_metric():
    decision = BinomialVote(100).decide(ballots([0, 100, 0]))
    assert decision.label.tolist() == [1]
    assert decision.score.tolist() == [3.0]


def test_at_the_papers_level_ten_of_ten_suffice_and_nine_of_ten_do_not_at_one_percent():
    vote = BinomialVote(10, alpha=0.01)
    assert vote.decide(ballots([10, 0])).label.tolist() == [0]
    assert vote.decide(ballots([9, 1])).label.tolist() == [ABSTAINED]


def test_images_of_a_batch_are_decided_apart():
    logits = torch.cat([ballots([12, 0, 0]), ballots([0, 6, 6]), ballots([0, 0, 12])])
    assert BinomialVote(12).decide(logits).label.tolist() == [0, ABSTAINED, 2]


@pytest.mark.parametrize("copies", [1, 0, -5])
def test_a_vote_of_one_is_refused(copies):
    with pytest.raises(ValueError, match="at least 2 copies"):
        BinomialVote(copies)
