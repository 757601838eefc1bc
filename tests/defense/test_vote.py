"""MedRDF's vote against the binomial test and the paper's formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binomtest
from torch.nn.functional import one_hot

from benchmark.defense.decision import ABSTAINED
from benchmark.defense.stages import BinomialVote
from benchmark.defense.stages.vote import wanted_at_the_end, wanted_early

COUNTS = st.lists(st.integers(0, 60), min_size=2, max_size=5).filter(lambda counts: sum(counts) >= 2)


def full(copies, alpha=0.001):
    return BinomialVote(copies, alpha, sequential=False)


def ballots(*counts):
    """Votes (N, K): one list of votes per class for each image."""
    return torch.tensor(counts)


@given(counts=COUNTS, alpha=st.sampled_from([0.001, 0.01, 0.05, 0.3]))
def test_it_abstains_exactly_where_scipys_two_sided_test_finds_no_lead(counts, alpha):
    second, first = sorted(counts)[-2:]
    p_value = binomtest(first, first + second, 0.5).pvalue
    decision = full(sum(counts), alpha).decide(ballots(counts))
    expected = counts.index(first) if p_value <= alpha else ABSTAINED
    # scipy's p-value and ours may round apart; neither is right to sixteen digits.
    if abs(p_value - alpha) > 1e-12:
        assert decision.label.tolist() == [expected]


@given(counts=COUNTS)
def test_probs_are_shares_of_the_votes_and_the_score_is_the_robust_metric(counts):
    second, first = sorted(counts)[-2:]
    decision = full(sum(counts)).decide(ballots(counts))
    assert decision.probs[0].tolist() == pytest.approx([count / sum(counts) for count in counts], abs=1e-6)
    assert float(decision.score[0]) == pytest.approx(len(counts) * (first - second) / sum(counts), abs=1e-5)


@given(count=st.integers(1, 200), alpha=st.floats(0.0001, 0.9))
def test_a_tie_is_an_abstention_at_any_level(count, alpha):
    assert full(2 * count, alpha).decide(ballots([count, count])).abstained.all()


def test_unanimity_of_a_hundred_copies_has_the_highest_robust_metric():
    decision = full(100).decide(ballots([0, 100, 0]))
    assert decision.label.tolist() == [1]
    assert decision.score.tolist() == [3.0]


def test_at_the_papers_level_ten_of_ten_suffice_and_nine_of_ten_do_not_at_one_percent():
    vote = full(10, alpha=0.01)
    assert vote.decide(ballots([10, 0])).label.tolist() == [0]
    assert vote.decide(ballots([9, 1])).label.tolist() == [ABSTAINED]


def test_images_of_a_batch_are_decided_apart():
    votes = ballots([12, 0, 0], [0, 6, 6], [0, 0, 12])
    assert full(12).decide(votes).label.tolist() == [0, ABSTAINED, 2]


@pytest.mark.parametrize("copies", [1, 0, -5])
def test_a_vote_of_one_is_refused(copies):
    with pytest.raises(ValueError, match="at least 2 copies"):
        BinomialVote(copies)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_a_level_outside_0_to_1_is_refused(alpha):
    with pytest.raises(ValueError, match="between 0 and 1"):
        BinomialVote(10, alpha)


@pytest.mark.parametrize(
    ("copies", "looks"),
    [(10, (10,)), (16, (16,)), (20, (16, 20)), (100, (16, 24, 36, 54, 81, 100))],
)
def test_looks_grow_by_half_and_end_with_the_last_copy(copies, looks):
    assert BinomialVote(copies).looks == looks
    assert full(copies).looks == (copies,)


@pytest.mark.parametrize("level", [0.0125, 0.00025])
def test_an_early_lead_is_enough_exactly_where_the_mixture_of_likelihood_ratios_says_so(level):
    def mixture(b, a):
        return 2 * quad(lambda p: (2 * p) ** b * (2 * (1 - p)) ** a, 0.5, 1, epsrel=1e-10)[0]

    wanted = wanted_early(200, level).tolist()
    for a in (0, 1, 2, 5, 12, 30, 60):
        assert mixture(wanted[a], a) >= 1 / level > mixture(wanted[a] - 1, a)


@given(counts=COUNTS)
def test_a_vote_too_short_for_an_early_look_is_the_full_one(counts):
    scale = 16 / sum(counts)
    votes = ballots([int(count * scale) for count in counts])
    copies = max(2, int(votes.sum()))
    short = BinomialVote(copies, 0.05).decide(votes)
    assert short.label.tolist() == full(copies, 0.05).decide(votes).label.tolist()


def polled(vote, answers, classes):
    """Poll recorded answers (N, n) as a defense does: an image leaves at the look at which it is settled."""
    votes = torch.zeros(len(answers), classes, dtype=torch.int64)
    going, taken = torch.arange(len(answers)), 0
    for look in vote.looks:
        votes[going] += one_hot(answers[going, taken:look], classes).sum(dim=1)
        going, taken = going[~vote.settled(votes[going])], look
    assert len(going) == 0
    return vote.decide(votes)


def recorded(shares, images, copies, seed):
    """Answers (N, n) of a classifier that gives each class its share of the copies."""
    answers = np.random.default_rng(seed).choice(len(shares), size=(images, copies), p=shares)
    return torch.from_numpy(answers)


@pytest.mark.parametrize(
    ("shares", "least"),
    [([0.5, 0.5], 0.01), ([1 / 3, 1 / 3, 1 / 3], 0.001), ([0.5, 0.5, 0.0], 0.01)],
)
def test_between_equals_each_wrong_answer_stays_below_the_level_and_is_not_absurdly_rare(shares, least):
    """Class 0 is most probable, by nothing: the hardest case of the guarantee."""
    alpha = 0.05
    labels = polled(BinomialVote(400, alpha), recorded(shares, 20_000, 400, seed=5), len(shares)).label
    wrong = float((labels > 0).float().mean())
    assert least < wrong <= alpha


@pytest.mark.parametrize("shares", [[0.9, 0.1], [0.75, 0.25], [0.8, 0.1, 0.1]])
def test_with_a_margin_it_answers_what_the_full_vote_answers_with_fewer_copies(shares):
    answers = recorded(shares, 2000, 400, seed=6)
    early, late = polled(BinomialVote(400), answers, len(shares)), polled(full(400), answers, len(shares))
    assert not late.abstained.any()
    assert early.label.tolist() == late.label.tolist()
    assert float(early.copies.float().mean()) < 150
    assert late.copies.tolist() == [400] * 2000


def test_votes_without_a_lead_take_every_copy_and_end_in_abstention():
    answers = torch.arange(200).expand(3, -1) % 2
    decision = polled(BinomialVote(200), answers, 2)
    assert decision.abstained.all()
    assert decision.copies.tolist() == [200] * 3


def test_a_vote_that_ends_early_scores_its_own_copies_where_the_full_vote_scores_all():
    answers = torch.zeros(1, 200, dtype=torch.int64)
    answers[0, 100:] = 1
    answers[0, 150] = 0
    early, full = polled(BinomialVote(200), answers, 2), polled(BinomialVote(200, sequential=False), answers, 2)
    assert early.score.tolist() == [2.0]
    assert full.score.tolist() == pytest.approx([2 * 2 / 200])


def test_sixteen_of_sixteen_settle_a_vote_and_one_dissent_prolongs_it():
    answers = torch.zeros(2, 200, dtype=torch.int64)
    answers[1, 3] = 1
    decision = polled(BinomialVote(200), answers, 2)
    assert decision.copies.tolist() == [16, 24]
    assert decision.label.tolist() == [0, 0]
    assert decision.probs[1].tolist() == pytest.approx([23 / 24, 1 / 24])
    assert decision.score.tolist() == pytest.approx([2.0, 2 * 22 / 24])


@pytest.mark.parametrize(("classes", "level"), [(2, 0.00025), (3, 0.00025), (5, 0.000125), (11, 0.00005)])
def test_the_sequential_vote_shares_its_alpha_among_the_rivals_and_its_two_tests(classes, level):
    vote = BinomialVote(300, alpha=0.001)
    early, last = wanted_early(300, level), wanted_at_the_end(300, level)
    for runner_up in (0, 7, 40):
        lead = int(early[runner_up])
        for leader, settled in ((lead, True), (lead - 1, False)):
            counts = [leader, runner_up] + [0] * (classes - 2)
            assert bool(vote.settled(ballots(counts))) == settled
    for leader in range(150, 200):
        counts = [leader, 300 - leader] + [0] * (classes - 2)
        enough = leader >= int(last[300 - leader])
        assert (int(vote.decide(ballots(counts)).label) == 0) == enough
