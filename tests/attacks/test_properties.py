"""What holds for every attack on every network: the ball, the box, and never worse than what it saw."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmark.access import GradientView, ScoreView
from benchmark.attacks import ATTACKS, build
from benchmark.attacks.norms import distance
from benchmark.attacks.square import Square
from benchmark.defense import Defense
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

SHORT = [
    ("fgsm", {}),
    ("bim", {"steps": 3}),
    ("pgd", {"steps": 4}),
    ("pgd-l2", {"steps": 4}),
    ("pgd", {"steps": 3, "loss": "margin", "restarts": 2}),
    ("cw-linf", {"steps": 4}),
    ("mim", {"steps": 4}),
    ("dim", {"steps": 6}),
    ("tim", {"steps": 4, "probability": 0.5}),
    ("sma", {"steps": 4}),
    ("apgd", {"iterations": 8}),
    ("apgd", {"iterations": 8, "loss": "dlr", "restarts": 2}),
    ("apgd", {"iterations": 6, "loss": "targeted"}),
    ("fab-t", {"iterations": 5}),
    ("apgd-l2", {"iterations": 8}),
    ("fab-t-l2", {"iterations": 5}),
    ("cw-l2", {"searches": 3, "steps": 8}),
    ("deepfool", {"steps": 6}),
    ("jsma", {"pixels_per_step": 6}),
    ("square", {"queries": 12}),
]


@st.composite
def cases(draw_from: st.DrawFn) -> tuple[Defense, Tensor, Tensor, float]:
    """A random small network, random images of any small shape (some at the faces of the box), labels and a radius."""
    num_classes = draw_from(st.integers(2, 5))
    channels, height, width = (draw_from(st.sampled_from(sizes)) for sizes in ((1, 3), (4, 5, 7), (4, 6)))
    generator = torch.Generator().manual_seed(draw_from(st.integers(0, 10_000)))
    with torch.random.fork_rng():
        torch.manual_seed(draw_from(st.integers(0, 10_000)))
        net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(num_classes))
        net(torch.zeros(1, channels, height, width))
    images = (1.4 * torch.rand(5, channels, height, width, generator=generator) - 0.2).clamp(0, 1)
    labels = torch.randint(num_classes, (5,), generator=generator)
    return Defense(net.requires_grad_(False), num_classes), images, labels, draw_from(st.floats(0.25, 64))


def looking_on(defense: Defense, draw: Randomness, seen: list[tuple[Tensor, Tensor]]) -> GradientView:
    """A white-box view that also writes down each row's logits, as (rows, logits)."""

    class Recording(GradientView):
        def evaluate(self, images, objective, rows):
            look = super().evaluate(images, objective, rows)
            seen.append((rows, look.logits))
            return look

        def logits(self, images, rows):
            logits = super().logits(images, rows)
            seen.append((rows, logits))
            return logits

    return Recording(lambda images, _: defense.classifier(images).unsqueeze(0), defense.num_classes, draw)


@pytest.mark.parametrize(("method", "params"), SHORT)
@given(case=cases())
@settings(max_examples=12, deadline=None)
def test_candidates_keep_shape_type_ball_and_box(run, method, params, case):
    defense, images, labels, eps_255 = case
    found = run(method, params, defense, images, labels, eps_255).candidates
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert (distance(found, images, ATTACKS[method].norm) <= eps_255 + 255e-6).all()


@pytest.mark.parametrize(
    ("method", "params"),
    [case for case in SHORT if case[0] in ("bim", "pgd", "pgd-l2", "cw-linf", "mim", "apgd", "apgd-l2")],
)
@given(case=cases())
@settings(max_examples=12, deadline=None)
def test_an_image_seen_fooled_is_returned_fooled(method, params, case):
    defense, images, labels, eps_255 = case
    draw, task = Randomness(range(5)), Classification(defense.num_classes)
    seen: list[tuple[Tensor, Tensor]] = []
    view = looking_on(defense, draw, seen)
    found = build(method, params)(view, task.goal(labels), images, eps_255, draw.fork("attack"))
    ever = torch.zeros(5, dtype=torch.bool)
    on_candidates = seen[1:] if params.get("loss") == "targeted" else seen
    for rows, logits in on_candidates:
        ever[rows] |= task.margin(logits, labels[rows]) > 1e-5
    assert (task.margin(defense.classifier(found), labels)[ever] > 0).all()


@given(case=cases())
@settings(max_examples=12, deadline=None)
def test_apgd_returns_the_highest_margin_it_saw(case):
    defense, images, labels, eps_255 = case
    draw, task = Randomness(range(5)), Classification(defense.num_classes)
    seen: list[tuple[Tensor, Tensor]] = []
    found = build("apgd", {"iterations": 8})(
        looking_on(defense, draw, seen), task.goal(labels), images, eps_255, draw.fork("attack")
    )
    highest = torch.stack([task.margin(logits, labels) for _, logits in seen]).amax(dim=0)
    assert torch.allclose(task.margin(defense.classifier(found), labels), highest, atol=1e-4)


@given(case=cases())
@settings(max_examples=12, deadline=None)
def test_square_never_ends_below_its_first_stripes(run, case):
    defense, images, labels, eps_255 = case
    task = Classification(defense.num_classes)
    stripes = run("square", {"queries": 1}, defense, images, labels, eps_255).candidates
    found = run("square", {"queries": 30}, defense, images, labels, eps_255).candidates
    before, after = (task.margin(defense.classifier(x).log_softmax(dim=1), labels) for x in (stripes, found))
    assert (after >= torch.minimum(before, torch.zeros(5)) - 1e-4).all()


@pytest.mark.parametrize(("method", "params"), SHORT)
def test_an_empty_batch_returns_an_empty_batch(run, method, params):
    defense = Defense(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), 3)
    found = run(method, params, defense, torch.empty(0, 1, 4, 4), torch.empty(0, dtype=torch.int64), 8).candidates
    assert found.shape == (0, 1, 4, 4)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("fgsm", {}),
        ("pgd", {}),
        ("apgd", {"iterations": 30}),
        ("fab-t", {"iterations": 30}),
        ("apgd-l2", {"iterations": 20}),
        ("cw-l2", {"searches": 5, "steps": 30}),
        ("deepfool", {}),
        ("square", {"queries": 200}),
    ],
)
def test_a_larger_radius_never_helps_the_defender(run, problem, method, params):
    toy = problem(3)
    defense = Defense(toy.net, 3)
    budgets = (4, 12, 20, 32) if ATTACKS[method].norm == "l2" else (8, 20, 32, 48)
    standing = [run(method, params, defense, toy.images[:50], toy.labels[:50], e).robust.sum() for e in budgets]
    assert all(later <= earlier + 1 for earlier, later in pairwise(standing))
    assert standing[-1] < standing[0] - 15


def test_squares_shrink_over_the_budget_and_always_fit_the_image():
    sides = [Square(queries=5000).side(i, 28, 20) for i in range(5000)]
    assert sides[0] == 20
    assert sides == sorted(sides, reverse=True)
    assert sides[-1] == 1


def test_a_network_whose_gradient_is_not_a_number_gives_finite_candidates(run):
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            flat = images.flatten(1)
            return torch.stack([flat.sum(dim=1), (flat - flat.detach()).abs().sqrt().sum(dim=1)], dim=1)

    defense = Defense(Broken(), 2)
    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for method in ("fgsm", "pgd", "apgd", "fab-t"):
        found = run(method, {}, defense, images, torch.zeros(3, dtype=torch.int64), 8).candidates
        assert found.isfinite().all()


def test_square_stops_at_the_views_budget_even_when_it_was_built_for_more():
    defense = Defense(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), 2)
    images = torch.full((4, 1, 4, 4), 0.5)
    labels = defense.predict(images, Randomness(range(4))).label
    view = ScoreView(defense, Randomness(range(4)), 7)
    build("square", {"queries": 5000})(view, Classification(2).goal(labels), images, 0.01, Randomness(range(4)))
    assert view.queries.tolist() == [7, 7, 7, 7]
