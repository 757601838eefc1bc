"""The judge's draws and verdicts."""

import pytest
import torch
from torch import nn

from benchmark.defense import Decision, Defense
from benchmark.defense.decision import ABSTAINED
from benchmark.defense.stages import BinomialVote, SaltAndPepper
from benchmark.engine.rows import outcomes
from benchmark.judge import Judge
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

CPU = torch.device("cpu")


class Brightness(nn.Module):
    def forward(self, images):
        value = images.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-value, value], dim=1)


def judge_of(stages=(), draws=5):
    return Judge(Defense(Brightness(), 2, stages), Classification(2), draws, CPU)


def purposes(count):
    return [("set", f"image-{i}", "clean") for i in range(count)]


def greys(count=20):
    return torch.full((count, 1, 6, 6), 0.5)


def test_a_deterministic_defense_is_asked_once():
    verdicts = judge_of().judge(torch.rand(4, 1, 6, 6), torch.zeros(4, dtype=torch.int64), purposes(4))
    assert verdicts.draws == 1


def test_a_random_defense_is_asked_as_often_as_the_profile_says_and_differs_between_draws():
    verdicts = judge_of([SaltAndPepper(0.5)]).judge(greys(), torch.ones(20, dtype=torch.int64), purposes(20))
    assert verdicts.draws == 5
    assert len(set(verdicts.right_draws.tolist())) > 2


def test_right_means_right_in_half_of_the_draws():
    verdicts = judge_of([SaltAndPepper(0.5)]).judge(greys(), torch.ones(20, dtype=torch.int64), purposes(20))
    assert verdicts.right.tolist() == [count >= 3 for count in verdicts.right_draws.tolist()]


def test_the_verdict_on_an_image_depends_on_its_purpose_and_not_on_its_batch():
    judge, labels = judge_of([SaltAndPepper(0.5)]), torch.ones(20, dtype=torch.int64)
    together = judge.judge(greys(), labels, purposes(20)).right_draws.tolist()
    apart = [int(judge.judge(greys(1), labels[:1], [purpose]).right_draws) for purpose in purposes(20)]
    again = judge.judge(greys(), labels, purposes(20)).right_draws.tolist()
    other = judge.judge(greys(), labels, [(*purpose, "8") for purpose in purposes(20)]).right_draws.tolist()
    assert together == apart == again
    assert together != other


@pytest.mark.parametrize("draws", [1, 3])
def test_outcomes_carry_the_first_draws_answer_and_the_count(draws):
    judge = judge_of([SaltAndPepper(0.5)], draws)
    labels = torch.tensor([0, 1] * 5)
    judgement = judge.judge(greys(10), labels, purposes(10))
    for row, outcome in enumerate(outcomes(judgement)):
        assert outcome.pred == int(judgement.first.label[row])
        assert outcome.draws == draws
        assert outcome.right == bool(judgement.right[row])
        assert outcome.probs == pytest.approx(judgement.first.probs[row].tolist())


class Silent(Defense):
    """Answers with what it was given."""

    def __init__(self, probs, label):
        super().__init__(nn.Flatten(), 4)
        self.probs, self.said = probs, label

    def predict(self, images, draw):
        return Decision(self.probs, self.said)


@pytest.mark.parametrize(
    ("probs", "label", "words"),
    [
        (torch.tensor([[float("nan")] * 4, [0.25] * 4]), torch.zeros(2, dtype=torch.int64), "not finite for 1 of 2"),
        (
            torch.ones(2, 1),
            torch.zeros(2, dtype=torch.int64),
            r"probabilities \(2, 1\) and labels \(2,\) for 2 images of 4",
        ),
        (torch.full((2, 4), 0.25), torch.zeros(1, dtype=torch.int64), r"labels \(1,\) for 2 images"),
    ],
)
def test_no_answer_is_no_verdict_though_the_first_class_may_be_the_true_one(probs, label, words):
    judge = Judge(Silent(probs, label), Classification(4), draws=1, device=torch.device("cpu"))
    with pytest.raises(RuntimeError, match=words):
        judge.judge(torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64), [("a",), ("b",)])


class Mute(nn.Module):
    """Answers nothing about black images."""

    def forward(self, images):
        logits = images.mean(dim=(2, 3)) * torch.tensor([1.0, 2.0, 3.0])
        return torch.where((images.amax(dim=(1, 2, 3)) == 0)[:, None], torch.nan, logits)


@pytest.mark.parametrize("sequential", [True, False])
def test_a_vote_of_no_answers_is_no_vote_for_the_first_class(sequential):
    images = torch.cat([torch.zeros(1, 1, 4, 4), torch.full((2, 1, 4, 4), 0.6)])
    defense = Defense(Mute(), 3, [SaltAndPepper(0.0)], BinomialVote(40, sequential=sequential))
    decision = defense.predict(images, Randomness(range(3)))
    assert decision.label.tolist() == [ABSTAINED, 2, 2]
    assert torch.isfinite(decision.probs).all(dim=1).tolist() == [False, True, True]
    with pytest.raises(RuntimeError, match="not finite for 1 of 3"):
        Judge(defense, Classification(3), 1, CPU).judge(images, torch.zeros(3, dtype=torch.int64), purposes(3))
