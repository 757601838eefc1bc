"""Systems that hide their gradient or coarsen their scores fall to query attacks, where PGD sees nothing."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from benchmark.defense import Defense, Stage
from benchmark.randomness import Randomness

EPS_255 = {"linf": 40.0, "l2": 24.0}


class Hidden(nn.Module):
    """The same logits times a thousand on rounded inputs, with a gradient of zero."""

    def __init__(self, net: nn.Module, scale: float, levels: int) -> None:
        super().__init__()
        self.net, self.scale, self.levels = net, scale, levels

    def forward(self, images: Tensor) -> Tensor:
        rounded = (images.detach() * self.levels).round() / self.levels
        return self.scale * self.net(rounded) + 0 * images.sum()


class CoarseScores(Defense):
    """Probabilities in steps of a twentieth, as a small vote gives them; plateaus everywhere."""

    def predict(self, images, draw):
        decision = super().predict(images, draw)
        coarse = (decision.probs * 20).round() / 20
        return replace(decision, probs=coarse / coarse.sum(dim=1, keepdim=True))


class SlightNoise(Stage):
    stochastic = True

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        return images + draw.normal(images.shape[1:], std=0.01)


def few(problem, count: int = 40):
    toy = problem(3)
    return replace(toy, images=toy.images[:count], labels=toy.labels[:count])


def standing(run, defense, toy, method, params, norm="linf") -> float:
    robust = run(method, params, defense, toy.images, toy.labels, EPS_255[norm]).robust
    return robust.float().mean().item()


@pytest.mark.parametrize(
    ("method", "params", "norm", "blind", "scale"),
    [
        ("rays", {"queries": 700}, "linf", "pgd", 1000),
        ("hopskipjump", {"queries": 1500}, "linf", "pgd", 1000),
        ("spsa", {"samples": 16, "iterations": 40}, "linf", "pgd", 1),
        ("hopskipjump", {"queries": 1500, "norm": "l2"}, "l2", "pgd-l2", 1000),
        ("zoo", {"queries": 1500}, "l2", "pgd-l2", 1),
    ],
)
def test_a_hidden_gradient_stops_pgd_but_not_the_query_attack(run, problem, method, params, norm, blind, scale):
    """Label attacks even where the softmax is saturated; score attacks where scores say something."""
    toy = few(problem)
    masked, twin = Defense(Hidden(toy.net, scale, levels=100), 3), Defense(toy.net, 3)
    alone = standing(run, twin, toy, method, params, norm)
    found = standing(run, masked, toy, method, params, norm)
    assert found <= alone + 0.05 + 1e-6
    assert found <= standing(run, masked, toy, blind, {}, norm) - 0.15


@pytest.mark.parametrize(
    ("method", "params", "eps_255", "lost"),
    [
        ("rays", {"queries": 500}, 40, 0.0),
        ("hopskipjump", {"queries": 800}, 40, 0.0),
        ("one-pixel", {"queries": 1500}, 5, 0.15),
    ],
)
def test_coarse_scores_do_not_save_a_system(run, problem, method, params, eps_255, lost):
    toy = few(problem)
    with_plateaus, twin = (
        run(method, params, defense, toy.images, toy.labels, eps_255).robust.float().mean().item()
        for defense in (CoarseScores(toy.net, 3), Defense(toy.net, 3))
    )
    assert with_plateaus <= twin + lost + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "params", "eps_255"),
    [("rays", {"queries": 1200}, 56), ("spsa", {"samples": 16, "iterations": 40}, 56), ("one-pixel", {}, 6)],
)
def test_what_a_slightly_noisy_system_concedes_it_concedes_to_the_judge_too(run, problem, method, params, eps_255):
    """Successes are confirmed: of the images at which the attack stopped, nearly all are wrong in most fresh draws."""
    toy = few(problem, 24)
    noisy = Defense(toy.net, 3, stages=[SlightNoise()])
    outcome = run(method, params, noisy, toy.images, toy.labels, eps_255)
    done = outcome.view.queries < min(5000, params.get("queries", 5000), 40 * 33) - 5
    draw = Randomness(range(len(toy.images)))
    wrong = [noisy.predict(outcome.candidates, draw.fork(i)).label != toy.labels for i in range(15)]
    mostly = torch.stack(wrong).float().mean(dim=0) > 0.5
    assert done.sum() > 5
    assert mostly[done].float().mean() > 0.9
