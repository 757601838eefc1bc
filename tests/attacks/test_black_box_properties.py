"""What holds for every query attack on every network: ball, box, budget, and no look at anything else."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmark.access import black_box, black_box_labels
from benchmark.attacks import build
from benchmark.attacks.norms import distance
from benchmark.defense import Defense, Stage
from benchmark.randomness import Randomness

SHORT = [
    ("rays", {"queries": 40}),
    ("spsa", {"samples": 3, "iterations": 5, "queries": 40}),
    ("hopskipjump", {"first_samples": 4, "queries": 40}),
    ("hopskipjump", {"first_samples": 4, "queries": 40, "norm": "l2"}),
    ("one-pixel", {"population": 6, "queries": 40}),
    ("zoo", {"coordinates": 5, "queries": 40}),
]
LONG = [
    ("rays", {"queries": 500}),
    ("spsa", {"samples": 12, "iterations": 40, "queries": 800}),
    ("hopskipjump", {"first_samples": 40, "queries": 800}),
    ("hopskipjump", {"first_samples": 40, "queries": 800, "norm": "l2"}),
    ("one-pixel", {"population": 30, "queries": 800}),
    ("zoo", {"queries": 800}),
]
BUDGETS = {"linf": (8, 20, 32, 48), "l2": (4, 8, 14, 24), "l0": (1, 3, 8, 20)}


class Jitter(Stage):
    stochastic = True

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return images + draw.normal(images.shape[1:], std=0.02)


@st.composite
def cases(draw_from: st.DrawFn) -> tuple[Defense, Tensor, Tensor, float]:
    """A random small network (sometimes behind noise), random images of any small shape, labels and a budget."""
    num_classes = draw_from(st.integers(2, 5))
    channels, height, width = (draw_from(st.sampled_from(sizes)) for sizes in ((1, 3), (4, 5, 7), (4, 6)))
    generator = torch.Generator().manual_seed(draw_from(st.integers(0, 10_000)))
    with torch.random.fork_rng():
        torch.manual_seed(draw_from(st.integers(0, 10_000)))
        net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(num_classes))
        net(torch.zeros(1, channels, height, width))
    images = (1.4 * torch.rand(5, channels, height, width, generator=generator) - 0.2).clamp(0, 1)
    labels = torch.randint(num_classes, (5,), generator=generator)
    stages = draw_from(st.sampled_from([[], [Jitter()]]))
    return Defense(net.requires_grad_(False), num_classes, stages), images, labels, draw_from(st.floats(1, 64))


def view_of(method: str, params: dict[str, object], defense: Defense, budget: int, count: int):
    draw = Randomness([71 + i for i in range(count)])
    return (black_box_labels if build(method, params).knowledge == "labels" else black_box)(defense, draw, budget)


@pytest.mark.parametrize(("method", "params"), SHORT)
@given(case=cases(), budget=st.integers(0, 60))
@settings(max_examples=15, deadline=None)
def test_candidates_stay_in_ball_and_box_and_the_budget_holds(run, method, params, case, budget):
    defense, images, labels, eps_255 = case
    view = view_of(method, params, defense, budget, 5)
    found = run(method, params, defense, images, labels, eps_255, view=view).candidates
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert (distance(found, images, build(method, params).norm) <= eps_255 * (1 + 1e-5)).all()
    assert view.queries.max() <= min(budget, 40)
    assert view.gradients.max() == 0


@pytest.mark.parametrize(("method", "params"), SHORT)
def test_nothing_is_asked_where_nothing_is_left(run, method, params):
    defense = Defense(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), 2)
    images = torch.full((3, 1, 4, 4), 0.5)
    view = view_of(method, params, defense, 0, 3)
    found = run(method, params, defense, images, torch.zeros(3, dtype=torch.int64), 8, view=view).candidates
    assert torch.equal(found, images)


@pytest.mark.parametrize(("method", "params"), SHORT)
def test_an_empty_batch_returns_an_empty_batch(run, method, params):
    defense = Defense(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), 3)
    found = run(method, params, defense, torch.empty(0, 1, 4, 4), torch.empty(0, dtype=torch.int64), 8).candidates
    assert found.shape == (0, 1, 4, 4)


@pytest.mark.parametrize(("method", "params"), LONG)
def test_a_larger_budget_never_helps_the_defender(run, problem, method, params):
    toy = problem(3)
    defense = Defense(toy.net, 3)
    budgets = BUDGETS[build(method, params).norm]
    standing = [run(method, params, defense, toy.images[:40], toy.labels[:40], e).robust.sum() for e in budgets]
    assert all(later <= earlier + 1 for earlier, later in pairwise(standing))
    assert standing[-1] < standing[0] - 8


@pytest.mark.parametrize(("method", "params"), LONG)
def test_more_queries_never_help_the_defender(run, problem, method, params):
    toy = problem(3)
    defense = Defense(toy.net, 3)
    eps = BUDGETS[build(method, params).norm][2]
    few, many = (
        run(method, params | {"queries": count}, defense, toy.images[:40], toy.labels[:40], eps).robust.sum()
        for count in (30, params["queries"])
    )
    assert many <= few


@pytest.mark.parametrize(("method", "params"), LONG)
def test_a_success_that_the_attacker_saw_is_returned_and_is_where_it_stopped(run, problem, method, params):
    """Deterministic system: an image that stopped before its budget was seen wrong, so the judge finds it wrong."""
    toy = problem(3)
    eps = BUDGETS[build(method, params).norm][2]
    outcome = run(method, params, Defense(toy.net, 3), toy.images[:40], toy.labels[:40], eps)
    stopped = outcome.view.queries < params["queries"] - 26
    assert stopped.any()
    assert not outcome.robust[stopped].any()


@pytest.mark.parametrize(("method", "params"), LONG)
def test_an_image_already_wrong_is_done_after_one_query(run, problem, method, params):
    toy = problem(3)
    wrong = (toy.labels[:6] + 1) % 3
    outcome = run(method, params, Defense(toy.net, 3), toy.images[:6], wrong, 8)
    assert outcome.view.queries.tolist() == [1] * 6
    assert torch.equal(outcome.candidates, toy.images[:6])


@pytest.mark.parametrize(("method", "params"), LONG)
def test_an_abstention_counts_as_success(run, method, params):
    class Abstains(Defense):
        def predict(self, images, draw):
            decision = super().predict(images, draw)
            return type(decision)(decision.probs, torch.full_like(decision.label, -1))

    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).requires_grad_(False)
    view = run(method, params, Abstains(net, 2), torch.rand(3, 1, 4, 4), torch.zeros(3, dtype=torch.int64), 8).view
    assert view.queries.tolist() == [1] * 3


@pytest.mark.parametrize(("method", "params"), LONG)
def test_a_stochastic_system_must_confirm_a_success(run, method, params):
    """Images far beyond the boundary: one look, four to replace it and sixteen to confirm."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).requires_grad_(False)
    net[1].weight.fill_(1.0)
    net[1].bias.copy_(torch.tensor([0.0, 5.0]))
    images, labels = torch.full((3, 1, 4, 4), 0.5), torch.zeros(3, dtype=torch.int64)
    view = run(method, params, Defense(net, 2, [Jitter()]), images, labels, 8).view
    assert view.queries.tolist() == [21] * 3


@pytest.mark.parametrize(("method", "params"), LONG)
def test_a_system_that_is_wrong_by_luck_now_and_then_is_not_taken_for_fallen(run, method, params):
    """It errs in a tenth of its looks whatever the image: a success taken on trust would come within a few dozen."""

    class Lottery(Stage):
        stochastic = True

        def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
            unlucky = draw.uniform(()) < 0.1
            return torch.where(unlucky[:, None, None, None], torch.zeros_like(images), torch.ones_like(images))

    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).requires_grad_(False)
    net[1].weight.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 16))
    net[1].bias.copy_(torch.tensor([-8.0, 8.0]))
    images, labels = torch.full((8, 1, 4, 4), 0.7), torch.zeros(8, dtype=torch.int64)
    view = run(method, params, Defense(net, 2, [Lottery()]), images, labels, 8).view
    assert view.queries.min() > 100
