"""What every attack test needs to run an attack on the small real problem."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
from torch import Tensor

from benchmark.access import GradientView, LabelView, ScoreView, black_box, black_box_labels, white_box
from benchmark.attacks import build
from benchmark.defense import Defense
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from .problem import Problem, train


@dataclass(frozen=True)
class Outcome:
    """What an attack returned, and the view that it spent."""

    candidates: Tensor
    view: GradientView | ScoreView | LabelView
    robust: Tensor
    """(N,) bool: the deployed label is still the true one."""


@pytest.fixture(scope="session")
def problem() -> Callable[..., Problem]:
    """Trains (once) a network: ``problem(num_classes, adversarial=True)``."""
    return cache(lambda num_classes, adversarial=True: train(num_classes, adversarial))


@pytest.fixture(scope="session")
def run() -> Callable[..., Outcome]:
    """Runs an attack by name: ``run(method, params, defense, images, labels, eps_255, view=None, seed=0)``."""

    def _run(method, params, defense, images, labels, eps_255, *, view=None, seed=0, budget=5000):
        if not isinstance(defense, Defense):
            raise TypeError("give a Defense")
        draw = Randomness([seed * 100_003 + i for i in range(len(images))])
        attack = build(method, params)
        if view is None:
            makers = {
                "gradient": white_box,
                "scores": lambda d, r: black_box(d, r, budget),
                "labels": lambda d, r: black_box_labels(d, r, budget),
            }
            view = makers[attack.knowledge](defense, draw.fork("view"))
        task = Classification(defense.num_classes)
        candidates = attack(view, task.goal(labels), images, eps_255, draw.fork("attack"))
        robust = task.score(defense.predict(candidates, draw.fork("judge")), labels) == 1
        return Outcome(candidates, view, robust)

    return _run
