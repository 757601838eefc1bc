"""The label view: the diagnosis and nothing else, counted and cut off at the budget."""

import pytest
import torch
from torch import nn

from benchmark.access import LabelView, QueryBudgetExceeded, black_box, black_box_labels
from benchmark.defense import Defense, Stage
from benchmark.defense.stages import BinomialVote, SaltAndPepper
from benchmark.randomness import Randomness


class Noise(Stage):
    stochastic = True

    def apply_true(self, images, draw):
        return images + draw.normal(images.shape[1:], std=1.0)


def defense(*stages, vote=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    return Defense(net.requires_grad_(False), 3, stages, vote)


def some_images(count=4):
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def streams(count=4):
    return Randomness(range(count))


def test_an_answer_is_the_deployed_label_and_nothing_else():
    answer = black_box_labels(defense(), streams(), 5).query(some_images(), torch.arange(4))
    assert isinstance(answer, torch.Tensor)
    assert answer.dtype == torch.int64
    assert torch.equal(answer, defense().predict(some_images(), streams()).label)


def test_scores_that_differ_without_changing_the_label_give_the_same_answers():
    """A label view of a net and of one five times as confident cannot be told apart."""
    calm, sure = defense(), defense()
    sure.classifier[1].weight.mul_(5)
    sure.classifier[1].bias.mul_(5)
    answers = [black_box_labels(d, streams(), 9).query(some_images(), torch.arange(4)) for d in (calm, sure)]
    assert torch.equal(*answers)


def test_the_view_offers_no_other_way_to_the_target():
    public = {name for name in dir(black_box_labels(defense(), streams(), 5)) if not name.startswith("_")}
    assert public == {"budget", "on_look", "gradients", "num_classes", "queries", "query", "remaining", "stochastic"}


def test_an_abstention_is_seen_as_minus_one():
    torn = defense(SaltAndPepper(0.4), vote=BinomialVote(6, alpha=1e-9))
    assert black_box_labels(torn, streams(), 5).query(some_images(), torch.arange(4)).tolist() == [-1] * 4


def test_queries_are_counted_per_image_and_stop_at_the_budget():
    view = black_box_labels(defense(), streams(), budget=2)
    view.query(some_images(2), torch.tensor([1, 3]))
    view.query(some_images(1), torch.tensor([1]))
    with pytest.raises(QueryBudgetExceeded, match="its 2 queries per image"):
        view.query(some_images(2), torch.tensor([0, 1]))
    assert view.queries.tolist() == [0, 2, 0, 1]
    assert view.remaining(torch.tensor([3, 1])).tolist() == [1, 0]
    assert view.gradients.tolist() == [0] * 4


@pytest.mark.parametrize("make", [black_box, black_box_labels])
def test_an_image_asked_about_several_times_at_once_pays_each_time(make):
    view = make(defense(), streams(), budget=3)
    view.query(some_images(3), torch.tensor([2, 0, 2]))
    assert view.queries.tolist() == [1, 0, 2, 0]
    with pytest.raises(QueryBudgetExceeded):
        view.query(some_images(2), torch.tensor([2, 2]))


def test_an_exhausted_image_does_not_stop_the_others():
    view = black_box_labels(defense(), streams(), budget=1)
    view.query(some_images(1), torch.tensor([0]))
    assert len(view.query(some_images(2), torch.tensor([1, 2]))) == 2


def test_looks_asked_at_once_draw_like_looks_asked_one_by_one():
    image = some_images(1)
    together = LabelView(defense(Noise()), streams(), 40).query(image.expand(30, -1, -1, -1), torch.full((30,), 2))
    view = LabelView(defense(Noise()), streams(), 40)
    one_by_one = torch.cat([view.query(image, torch.tensor([2])) for _ in range(30)])
    assert torch.equal(together, one_by_one)
    assert len(together.unique()) > 1


def test_an_empty_query_costs_nothing():
    view = black_box_labels(defense(), streams(), budget=0)
    assert len(view.query(some_images(0), torch.arange(0))) == 0
    assert view.queries.tolist() == [0] * 4
