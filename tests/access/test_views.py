"""What each view gives, what it counts and where it stops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmark.access import QueryBudgetExceeded, adaptive, black_box, black_box_labels, no_box, white_box
from benchmark.defense import Defense, Stage
from benchmark.defense.stages import BinomialVote, SaltAndPepper
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

TASK = Classification(3)


class Darken(Stage):
    """A deterministic stage that changes every logit."""

    def apply_true(self, images, draw):
        return images * 0.5


def make_net(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))


def some_images(count=4):
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def streams(count=4):
    return Randomness(range(count))


def noisy(vote=None):
    return Defense(make_net(), 3, [SaltAndPepper(0.4)], vote)


def first_logit(logits):
    return logits[:, 0]


def test_the_white_box_view_gives_the_undefended_classifiers_logits_and_gradients():
    defense, images = Defense(make_net(), 3, [Darken(), SaltAndPepper(0.3)]), some_images()
    view = white_box(defense, streams())
    look = view.evaluate(images, first_logit, torch.arange(4))
    leaf = images.clone().requires_grad_()
    logits = defense.classifier(leaf)
    logits[:, 0].sum().backward()
    torch.testing.assert_close(look.logits, logits.detach())
    torch.testing.assert_close(look.gradient, leaf.grad)
    torch.testing.assert_close(look.loss, logits[:, 0].detach())
    torch.testing.assert_close(view.logits(images, torch.arange(4)), logits.detach())


def test_the_adaptive_view_gives_the_pipelines():
    defense, images = Defense(make_net(), 3, [Darken()]), some_images()
    look = adaptive(defense, streams(), 7).evaluate(images, first_logit, torch.arange(4))
    torch.testing.assert_close(look.logits, defense.classifier(images * 0.5))
    bare = white_box(defense, streams()).evaluate(images * 0.5, first_logit, torch.arange(4))
    torch.testing.assert_close(look.gradient, 0.5 * bare.gradient)


def test_the_no_box_view_knows_a_surrogate_only():
    surrogate, images = make_net(seed=9), some_images()
    look = no_box(surrogate, 3, streams()).evaluate(images, first_logit, torch.arange(4))
    torch.testing.assert_close(look.logits, surrogate(images))


class Heard(nn.Module):
    """A classifier that counts the rows it was given."""

    def __init__(self):
        super().__init__()
        self.net, self.rows = make_net(), 0

    def forward(self, images):
        self.rows += len(images)
        return self.net(images)


def rows_of_a_query(vote, ask):
    """Rows that the classifier saw of one query about an image whose vote is not settled early."""
    defense = Defense(Heard(), 3, [SaltAndPepper(0.4)], vote)
    seen = []
    defense.classifier.register_forward_hook(lambda module, _, __: seen.append(module.rows))
    ask(defense, TORN)
    return seen[-1]


TORN = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("view", [black_box, black_box_labels])
def test_a_query_of_a_long_vote_is_answered_by_its_first_200_copies(view):
    long = BinomialVote(1000, sequential=False)
    asked = rows_of_a_query(long, lambda defense, image: view(defense, streams(1), 5).query(image, torch.arange(1)))
    assert asked == 200
    whole = rows_of_a_query(long, lambda defense, image: defense.predict(image, streams(1)))
    assert whole == 1000


@pytest.mark.parametrize("copies", [50, 200])
def test_a_vote_of_no_more_copies_is_asked_whole(copies):
    defense = noisy(BinomialVote(copies, sequential=False))
    view = black_box(defense, streams(), 5)
    assert view._defense is defense


def test_asking_a_long_vote_leaves_the_deployed_one_as_it_is():
    defense = noisy(BinomialVote(1000))
    before = defense.vote
    black_box(defense, streams(), 5).query(some_images(), torch.arange(4))
    assert defense.vote is before


def test_the_black_box_view_gives_deployed_scores_and_labels():
    defense, images = Defense(make_net(), 3, [Darken()]), some_images()
    scores, labels = black_box(defense, streams(), 5).query(images, torch.arange(4))
    deployed = defense.predict(images, streams())
    torch.testing.assert_close(scores.exp(), deployed.probs)
    assert labels.tolist() == deployed.label.tolist()
    assert not scores.requires_grad


def test_a_black_box_sees_abstentions():
    torn = noisy(BinomialVote(6, alpha=1e-9))
    _, labels = black_box(torn, streams(), 5).query(some_images(), torch.arange(4))
    assert labels.tolist() == [-1] * 4


def test_a_vote_without_a_single_ballot_for_a_class_still_has_finite_scores():
    scores, _ = black_box(noisy(BinomialVote(4)), streams(), 5).query(some_images(), torch.arange(4))
    assert scores.isfinite().all()


def test_nothing_that_a_view_returns_carries_a_graph():
    look = adaptive(noisy(), streams(), 3).evaluate(some_images(), first_logit, torch.arange(4))
    assert not any(value.requires_grad for value in (look.loss, look.gradient, look.logits))


@given(rows=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True), max_size=6))
@settings(deadline=None, max_examples=25)
def test_queries_and_gradients_are_counted_per_image(rows):
    view = white_box(Defense(make_net(), 3), streams())
    images = some_images()
    for part in rows:
        view.evaluate(images[part], first_logit, torch.tensor(part))
        view.logits(images[part], torch.tensor(part))
    asked = [sum(image in part for part in rows) for image in range(4)]
    assert view.gradients.tolist() == asked
    assert view.queries.tolist() == [2 * count for count in asked]


def test_a_look_at_a_random_pipeline_costs_as_many_passes_as_it_averages():
    view = adaptive(noisy(), streams(), eot_samples=5)
    view.evaluate(some_images(), first_logit, torch.arange(4))
    view.logits(some_images(), torch.arange(4))
    assert view.gradients.tolist() == [5] * 4
    assert view.queries.tolist() == [10] * 4


def test_a_deterministic_pipeline_needs_no_averaging():
    view = adaptive(Defense(make_net(), 3, [Darken()]), streams(), eot_samples=5)
    view.evaluate(some_images(), first_logit, torch.arange(4))
    assert view.gradients.tolist() == [1] * 4


def test_a_vote_counts_as_one_query_of_the_black_box():
    view = black_box(noisy(BinomialVote(8)), streams(), 5)
    view.query(some_images(), torch.arange(4))
    assert view.queries.tolist() == [1] * 4
    assert view.remaining(torch.tensor([2])).tolist() == [4]


def test_the_score_view_stops_at_the_budget_of_each_image():
    view = black_box(Defense(make_net(), 3), streams(), budget=2)
    for _ in range(2):
        view.query(some_images(1), torch.tensor([1]))
    view.query(some_images(1), torch.tensor([0]))
    with pytest.raises(QueryBudgetExceeded, match="its 2 queries per image"):
        view.query(some_images(2), torch.tensor([0, 1]))
    assert view.queries.tolist() == [1, 2, 0, 0]


def test_repeated_queries_of_a_random_defense_draw_anew():
    view = black_box(noisy(), streams(), 10)
    first, _ = view.query(some_images(), torch.arange(4))
    second, _ = view.query(some_images(), torch.arange(4))
    assert not torch.equal(first, second)


def test_repeated_looks_of_an_adaptive_attacker_draw_anew():
    view = adaptive(noisy(), streams(), 3)
    first, second = (view.evaluate(some_images(), first_logit, torch.arange(4)) for _ in range(2))
    assert not torch.equal(first.gradient, second.gradient)
    assert not torch.equal(first.logits, second.logits)
    logits = [view.logits(some_images(), torch.arange(4)) for _ in range(2)]
    assert not torch.equal(*logits)


@pytest.mark.parametrize("kind", ["scores", "gradients"])
def test_the_randomness_of_a_look_belongs_to_the_image_and_not_to_its_batch(kind):
    images = some_images()

    def looks(parts):
        """The second look at each image, the batch cut into parts."""
        found = {}
        view = black_box(noisy(), streams(), 10) if kind == "scores" else adaptive(noisy(), streams(), 3)
        for _ in range(2):
            for part in parts:
                rows = torch.tensor(part)
                if kind == "scores":
                    answer, _ = view.query(images[part], rows)
                else:
                    answer = view.evaluate(images[part], first_logit, rows).gradient.flatten(1)
                found.update(zip(part, answer, strict=True))
        return torch.stack([found[image] for image in range(4)])

    together = looks([[0, 1, 2, 3]])
    torch.testing.assert_close(looks([[3], [0, 2], [1]]), together)
    torch.testing.assert_close(looks([[2, 1, 0, 3]]), together)


def test_an_image_looked_at_more_often_does_not_disturb_the_others():
    images, everyone = some_images(), torch.arange(4)
    calm, busy = (black_box(noisy(), streams(), 10) for _ in range(2))
    busy.query(images[:1], everyone[:1])
    expected, _ = calm.query(images, everyone)
    found, _ = busy.query(images, everyone)
    assert torch.equal(found[1:], expected[1:])
    assert not torch.equal(found[:1], expected[:1])


def test_other_libraries_get_logits_with_autograd_and_their_cost_is_counted():
    view = white_box(Defense(make_net(), 3), streams())
    leaf = some_images().requires_grad_()
    view.differentiable(leaf).sum().backward()
    assert float(leaf.grad.abs().sum()) > 0
    with torch.no_grad():
        view.differentiable(leaf)
    assert view.queries.tolist() == [2] * 4
    assert view.gradients.tolist() == [1] * 4


def test_a_random_target_has_no_single_differentiable_function():
    with pytest.raises(ValueError, match="use evaluate"):
        adaptive(noisy(), streams(), 3).differentiable(some_images())


def test_no_view_gives_gradients_of_weights():
    defense = Defense(make_net(), 3)
    white_box(defense, streams()).evaluate(some_images(), first_logit, torch.arange(4))
    assert all(parameter.grad is None for parameter in defense.parameters())


def test_the_objective_sees_each_sample_and_its_values_are_averaged():
    defense, images, labels = noisy(), some_images(), torch.tensor([0, 1, 2, 0])
    seen = []

    def objective(logits):
        seen.append(logits.detach())
        return TASK.cross_entropy(logits, labels)

    look = adaptive(defense, streams(), 6).evaluate(images, objective, torch.arange(4))
    assert len(seen) == 6
    losses = torch.stack([TASK.cross_entropy(sample, labels) for sample in seen])
    torch.testing.assert_close(look.loss, losses.mean(dim=0))
    torch.testing.assert_close(look.logits.exp(), torch.stack(seen).softmax(dim=2).mean(dim=0))


def test_a_listener_is_told_before_every_look_and_learns_nothing_of_it():
    """A progress bar hangs here: no argument, no answer."""
    calls = []
    for view, look in (
        (no_box(make_net(), 3, streams()), lambda view: view.logits(some_images(2), torch.arange(2))),
        (black_box(noisy(), streams(), 5), lambda view: view.query(some_images(2), torch.arange(2))),
    ):
        view.on_look = lambda *given: calls.append(given)
        look(view)
        look(view)
    assert calls == [()] * 4
