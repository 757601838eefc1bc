"""What a query attack asks is what its documentation says, image by image."""

import pytest
import torch
from torch import Tensor, nn

from benchmark.access import black_box, black_box_labels
from benchmark.attacks import build
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification


class Mean(nn.Module):
    """Logits (100 (mean - .5), 0): an image of .9 stands, one of .505 falls to the first step downwards."""

    def forward(self, images: Tensor) -> Tensor:
        bright = 100 * (images.mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([bright, torch.zeros_like(bright)], dim=1)


def two_images() -> tuple[Tensor, Tensor]:
    values = torch.tensor([0.9, 0.505])
    return values[:, None, None, None].expand(2, 1, 4, 4).clone(), torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("method", "params", "standing", "falling"),
    [
        ("rays", {"queries": 300}, 300, 12),
        ("spsa", {"samples": 10, "iterations": 7}, 1 + 7 * 21, 43),
        ("spsa", {"samples": 10, "iterations": 7, "queries": 100}, 100, 43),
        ("zoo", {"coordinates": 5, "queries": 101}, 101, 51),
    ],
)
def test_a_standing_image_costs_what_is_documented_and_a_falling_one_stops(run, method, params, standing, falling):
    images, labels = two_images()
    outcome = run(method, params, Defense(Mean(), 2), images, labels, 4.0)
    assert outcome.view.queries[0] == standing
    assert outcome.view.queries[1] <= falling
    assert outcome.robust.tolist() == [True, False]


@pytest.mark.parametrize("method", ["spsa", "one-pixel", "zoo"])
def test_queries_that_others_spent_before_are_not_spent_again(method):
    images, labels = two_images()
    view = black_box(Defense(Mean(), 2), Randomness([1, 2]), budget=60)
    attack = build(method, {})
    view.query(images[:1], torch.tensor([0]))
    attack(view, Classification(2).goal(labels), images, 4.0, Randomness([1, 2]))
    assert view.queries[0] in (59, 60)


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("rays", {"queries": 0}, "queries is 0"),
        ("spsa", {"samples": 0}, "samples is 0"),
        ("spsa", {"iterations": 0}, "iterations is 0"),
        ("spsa", {"delta": 0.0}, "delta is 0.0"),
        ("spsa", {"learning_rate": 2.0}, "learning_rate is 2.0"),
        ("spsa", {"queries": 0}, "queries is 0"),
        ("one-pixel", {"queries": 0}, "queries is 0"),
        ("one-pixel", {"population": 3}, "population is 3"),
        ("zoo", {"coordinates": 0}, "coordinates is 0"),
        ("zoo", {"delta": -1.0}, "delta is -1.0"),
        ("hopskipjump", {"queries": 0}, "queries is 0"),
        ("hopskipjump", {"first_samples": 0}, "first_samples is 0"),
        ("hopskipjump", {"norm": "l0"}, "unknown norm 'l0'"),
    ],
)
def test_a_parameter_out_of_range_is_refused(method, params, message):
    with pytest.raises(BenchError, match=message):
        build(method, params)


def test_an_image_for_which_no_random_image_is_wrong_is_given_up_after_the_trials(run):
    """Logits that do not depend on the image: one look at it, a hundred random ones, and it is returned unchanged."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).requires_grad_(False)
    net[1].weight.zero_()
    net[1].bias.copy_(torch.tensor([1.0, 0.0]))
    images, labels = two_images()
    outcome = run("hopskipjump", {}, Defense(net, 2), images, labels, 4.0)
    assert outcome.view.queries.tolist() == [101, 101]
    assert torch.equal(outcome.candidates, images)


def test_less_than_one_pixel_costs_nothing(run):
    images, labels = two_images()
    outcome = run("one-pixel", {}, Defense(Mean(), 2), images, labels, 0.5)
    assert outcome.view.queries.tolist() == [0, 0]
    assert torch.equal(outcome.candidates, images)


def test_a_label_attack_leaves_alone_what_others_spent():
    images, labels = two_images()
    view = black_box_labels(Defense(Mean(), 2), Randomness([1, 2]), budget=60)
    view.query(images[:1], torch.tensor([0]))
    build("rays", {})(view, Classification(2).goal(labels), images, 4.0, Randomness([1, 2]))
    assert view.queries[0] == 60


@pytest.mark.parametrize("queries", [1, 2, 90, 400])
def test_square_asks_ahead_and_is_the_search_that_asks_one_by_one(run, problem, monkeypatch, queries):
    """Same candidates and same counts, to the last query of a budget that ends in the middle of a look."""
    small = problem(3)
    images, labels = small.images[:20], small.labels[:20]
    found = []
    for most in (16, 1):
        monkeypatch.setattr("benchmark.attacks.square.MOST_AT_ONCE", most)
        defense = Defense(small.net, 3)
        found.append(run("square", {"queries": queries}, defense, images, labels, 20.0, budget=queries))
    assert torch.equal(found[0].candidates, found[1].candidates)
    assert torch.equal(found[0].view.queries, found[1].view.queries)
    assert int(found[0].view.queries.max()) <= queries


def test_queries_to_a_random_system_cannot_be_taken_back():
    view = black_box(Defense(Mean(), 2), Randomness([1]), budget=10)
    view.stochastic = True
    with pytest.raises(ValueError, match="cannot be taken back"):
        view.take_back(torch.tensor([0]), torch.tensor([1]))
