"""A copy that has learned a system's labels leads to its boundary, whatever becomes of its gradients and scores."""

import pytest
import torch
from torch import Tensor, nn

from benchmark.access import AnswersView, black_box_labels
from benchmark.attacks import build
from benchmark.defense import Defense
from benchmark.defense.stages import GaussianNoise
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from .problem import LabelsAlone, digits

CLASSES = 2
EPS_255 = 30.0
SMALL = {"images": 800, "rounds": 8, "strongest_255": 60.0, "width": 16, "queries": 500}


def answers(defense: Defense, images: Tensor, labels: Tensor) -> AnswersView:
    return AnswersView(defense, images, labels, Randomness([5]))


def fitted(defense: Defense, view: AnswersView | None = None, seed: int = 0, **params) -> dict[str, Tensor]:
    images, labels = digits(CLASSES)
    view = view or answers(defense, images[:1200], labels[:1200])
    return build("distilled", SMALL | params).fit(view, Classification(CLASSES), Randomness([seed]))


def attacked(defense: Defense, state, images: Tensor, labels: Tensor, eps_255: float = EPS_255, **params):
    attack = build("distilled", SMALL | params)
    view = black_box_labels(defense, Randomness(range(len(images))), attack.queries)
    goal = Classification(CLASSES).goal(labels)
    return attack.apply(state, view, goal, images, eps_255, Randomness(range(len(images)))), view


def left(defense: Defense, candidates: Tensor, labels: Tensor) -> int:
    return int((defense.predict(candidates, Randomness(range(len(labels)))).label == labels).sum())


def test_a_system_that_tells_labels_alone_falls_nearly_as_far_as_its_network_to_gradients(run, problem):
    small = problem(CLASSES, adversarial=False)
    images, labels = small.images[:60], small.labels[:60]
    bare = run("pgd", {"steps": 50, "loss": "margin"}, Defense(small.net, CLASSES), images, labels, EPS_255)
    hidden = Defense(LabelsAlone(small.net), CLASSES)
    candidates, _ = attacked(hidden, fitted(hidden), images, labels)
    assert int(bare.robust.sum()) <= 30
    assert left(hidden, candidates, labels) <= int(bare.robust.sum()) + 6


@pytest.mark.slow
def test_behind_noise_the_copy_finds_more_than_a_search_by_labels_without_it(run, problem):
    small = problem(CLASSES, adversarial=False)
    images, labels = small.images[:60], small.labels[:60]
    noisy = Defense(LabelsAlone(small.net), CLASSES, [GaussianNoise(0.03)])
    searched = run("rays", {"queries": SMALL["queries"]}, noisy, images, labels, EPS_255)
    candidates, _ = attacked(noisy, fitted(noisy), images, labels)
    assert left(noisy, candidates, labels) <= int(searched.robust.sum()) - 6


def test_the_search_that_follows_reaches_the_known_optimum_of_a_linear_system():
    generator = torch.Generator().manual_seed(3)
    layer = nn.Linear(64, CLASSES)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(CLASSES, 64, generator=generator))
        layer.bias.copy_(-layer.weight.sum(dim=1) / 2)
    defense = Defense(nn.Sequential(nn.Flatten(), layer).requires_grad_(False), CLASSES)
    # Away from the box's faces the distance to the boundary is known: the margin over the weights' L1 norm.
    images = 0.3 + 0.4 * torch.rand(40, 1, 8, 8, generator=generator)
    logits = defense.logits(images).detach()
    labels = logits.argmax(dim=1)
    gap = (logits[:, 0] - logits[:, 1]).abs() / (layer.weight[0] - layer.weight[1]).abs().sum()
    eps = float(gap.median())
    reachable = gap < 0.9 * eps
    assert int(reachable.sum()) >= 10
    state = fitted(defense, answers(defense, images.repeat(10, 1, 1, 1), labels.repeat(10)))
    candidates, _ = attacked(defense, state, images, labels, 255 * eps, queries=2000)
    wrong = defense.logits(candidates).argmax(dim=1) != labels
    assert int(wrong[reachable].sum()) >= int(reachable.sum()) - 1
    assert not bool(wrong[gap > eps + 1e-4].any())


def test_candidates_stay_in_the_ball_and_queries_in_the_budget(problem):
    small = problem(CLASSES)
    images, labels = small.images[:20], small.labels[:20]
    defense = Defense(LabelsAlone(small.net), CLASSES)
    candidates, view = attacked(defense, fitted(defense, rounds=1), images, labels, queries=40)
    assert float((candidates - images).abs().max()) <= EPS_255 / 255 + 1e-6
    assert bool(((candidates >= 0) & (candidates <= 1)).all())
    assert 0 < int(view.queries.max()) <= 40


def test_a_fit_asks_for_as_many_labels_as_it_says_and_nothing_else(problem):
    defense = Defense(LabelsAlone(problem(CLASSES).net), CLASSES)
    images, labels = digits(CLASSES)
    view = answers(defense, images[:500], labels[:500])
    fitted(defense, view, images=100, rounds=3)
    assert (view.queries, view.gradients) == (400, 0)


def test_the_same_stream_gives_the_same_copy_and_another_one_another(problem):
    defense = Defense(LabelsAlone(problem(CLASSES).net), CLASSES)
    before = torch.random.get_rng_state()
    first, again, other = (fitted(defense, images=100, rounds=1, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_system_that_always_abstains_is_broken_already(problem):
    small = problem(CLASSES)

    class Silent(Defense):
        def _decide(self, images, draw):
            decision = super()._decide(images, draw)
            decision.label.fill_(-1)
            return decision

    defense = Silent(small.net, CLASSES)
    candidates, view = attacked(defense, fitted(defense, images=50, rounds=1), small.images[:5], small.labels[:5])
    assert torch.equal(candidates, small.images[:5])
    assert int(view.queries.max()) == 1


def test_a_view_without_images_is_refused(problem):
    images, labels = digits(CLASSES)
    with pytest.raises(BenchError, match="give at least one image"):
        answers(Defense(problem(CLASSES).net, CLASSES), images[:0], labels[:0])


def test_a_state_of_another_width_is_refused(problem):
    small = problem(CLASSES)
    defense = Defense(small.net, CLASSES)
    state = fitted(defense, images=50, rounds=1)
    with pytest.raises(BenchError, match="fit it again"):
        attacked(defense, state, small.images[:2], small.labels[:2], width=8)
