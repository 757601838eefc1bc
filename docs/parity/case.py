"""One comparison of ``attack_parity.py``: the problem, our attack on it through its view, and robust accuracy."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from benchmark.access import AnswersView, References, adaptive, black_box, black_box_labels, gray_box, white_box
from benchmark.attacks import build
from benchmark.attacks.norms import distance, radius
from benchmark.defense import Defense
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

ROOT = Path(__file__).resolve().parents[2]
INSIDE = ("fea", "hfc", "wb", "wb-d", "stress", "inner")
"""Attacks that need a view of features or of a detector."""
BUDGET = 100_000
"""Query budget of the view; the queries of an attack are a parameter of the attack."""


def _of_tests(name: str) -> ModuleType:
    """A module that the tests share, by its path: tests are no package."""
    spec = importlib.util.spec_from_file_location(f"attack_{name}", ROOT / "tests" / "attacks" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"tests/attacks/{name}.py is missing; run from a checkout of the repository.")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


problem = _of_tests("problem")
peers = _of_tests("peers")
train = cache(problem.train)


@dataclass(frozen=True)
class Found:
    """Candidates (N, C, H, W) and, for a query attack, the most queries for any image."""

    candidates: Tensor
    queries: int | None = None


@dataclass(frozen=True)
class Case:
    """The task of both sides.

    Attributes:
        toy: network, images and labels.
        norm: "linf", "l2" or "l0".
        eps_255: budget in the norm's unit.
    """

    toy: Any
    norm: str
    eps_255: float

    @property
    def eps(self) -> float:
        """Radius in [0, 1], in pixels for l0."""
        return radius(self.norm, self.eps_255, self.toy.images.shape[1:])

    @property
    def num_classes(self) -> int:
        """K."""
        classes: int = self.toy.num_classes
        return classes

    def training(self, count: int) -> tuple[Tensor, Tensor]:
        """The first ``count`` training images of the network, and their labels."""
        images, labels = problem.digits(self.num_classes)
        return images[:count], labels[:count]

    def detector(self) -> Any:
        """A defense with a toy detector on its features, fitted on all training images."""
        return problem.TwoModes(self.toy.net, self.num_classes).learn(*self.training(1200))

    def hiding(self) -> Defense:
        """A defense that tells labels alone and lets no gradient through."""
        return Defense(problem.LabelsAlone(self.toy.net), self.num_classes)

    def wrong(self, candidates: Tensor) -> Tensor:
        """(N,) bool: misclassified and inside the ball and the box, up to rounding."""
        inside = distance(candidates, self.toy.images, self.norm) <= self.eps_255 * 1.0001 + 1e-4
        boxed = ((candidates >= -1e-6) & (candidates <= 1 + 1e-6)).flatten(1).all(dim=1)
        with torch.no_grad():
            return inside & boxed & (self.toy.net.eval()(candidates).argmax(dim=1) != self.toy.labels)

    def robust(self, candidates: Tensor) -> float:
        """Share of robust images; candidates outside the ball or the box count as failed attacks."""
        return (~self.wrong(candidates)).float().mean().item()

    def robust_or_rejected(self, candidates: Tensor) -> float:
        """Like :meth:`robust`, with a detector whose threshold rejects one clean training image in twenty."""
        defense = self.detector()

        def scores(images: Tensor) -> Tensor:
            value: Tensor = defense.adaptive_score(images, Randomness([0] * len(images)), 1)[0].detach()
            return value

        accepted = scores(candidates) >= scores(self.training(1200)[0]).quantile(0.05)
        return (~(self.wrong(candidates) & accepted)).float().mean().item()


def made(classes: int, natural: bool, images: int, norm: str, eps_255: float) -> Case:
    """The problem with its first ``images`` images."""
    toy = train(classes, not natural)
    return Case(problem.Problem(toy.net, toy.images[:images], toy.labels[:images], classes), norm, eps_255)


def ours(case: Case, method: str, params: Mapping[str, object], fitted_on: int = 160) -> Found:
    """Our attack ``method`` through its view; a fitted attack is first fitted on training images."""
    toy, attack, task = case.toy, build(method, params), Classification(case.num_classes)
    defense = Defense(toy.net, case.num_classes)
    draw = Randomness(range(len(toy.images)))
    if attack.knowledge == "training":
        state = attack.fit(gray_box(defense, *case.training(fitted_on)), task, case.eps_255, Randomness([0]))
        return Found(attack.apply(state, toy.images, case.eps_255))
    view: Any
    if attack.knowledge == "answers":
        asked = AnswersView(defense, *case.training(1200), Randomness([1]))
        state = attack.fit(asked, task, Randomness([0]))
        view = black_box_labels(defense, draw.fork("view"), BUDGET)
        candidates = attack.apply(state, view, task.goal(toy.labels), toy.images, case.eps_255, draw.fork("attack"))
        return Found(candidates, int(view.queries.max()))
    if method in INSIDE:
        target = case.detector() if method in ("wb", "wb-d") else case.hiding() if method == "inner" else defense
        view = adaptive(target, draw.fork("view"), 1, references=References(*case.training(1200)))
    elif attack.knowledge == "gradient":
        view = white_box(defense, draw.fork("view"))
    else:
        view = {"scores": black_box, "labels": black_box_labels}[attack.knowledge](defense, draw.fork("view"), BUDGET)
    candidates = attack(view, task.goal(toy.labels), toy.images, case.eps_255, draw.fork("attack"))
    return Found(candidates, int(view.queries.max()) if attack.knowledge in ("scores", "labels") else None)


def our_suite(case: Case, cells: tuple[tuple[str, Mapping[str, object]], ...]) -> Found:
    """Each attack runs on the images that the attacks before it did not break."""
    candidates = case.toy.images.clone()
    for method, params in cells:
        rows = (~case.wrong(candidates)).nonzero().squeeze(1)
        if len(rows):
            toy = problem.Problem(case.toy.net, case.toy.images[rows], case.toy.labels[rows], case.num_classes)
            candidates[rows] = ours(Case(toy, case.norm, case.eps_255), method, params).candidates
    return Found(candidates)


@dataclass(frozen=True)
class Peer:
    """Another implementation, or with package "" the substitute for an attack without a peer.

    Attributes:
        package: its name on the package index.
        name: of the attack there.
        call: makes candidates.
        note: why it fails, or why it is weaker or stronger.
    """

    package: str
    name: str
    call: Callable[[Case], Found]
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One of our attacks with its settings, and its peers.

    Attributes:
        attack: name in the registry, or "AutoAttack".
        norm: "linf", "l2" or "l0".
        eps_255: budget in the norm's unit.
        peers: the peers, on the same images.
        params: of our attack.
        variant: distinguishes the lines of one attack.
        classes: numbers of classes.
        images: number of images.
        natural: whether the network was trained without adversarial examples.
        call: runs our side, if it is not one attack of the registry.
        detector: whether a rejected image counts as robust.
    """

    attack: str
    norm: str
    eps_255: float
    peers: tuple[Peer, ...]
    params: Mapping[str, object] = field(default_factory=dict)
    variant: str = ""
    classes: tuple[int, ...] = (2, 10)
    images: int = 100
    natural: bool = False
    call: Callable[[Case], Found] | None = None
    detector: bool = False

    @property
    def title(self) -> str:
        """Name in the table."""
        return f"{self.attack} ({self.variant})" if self.variant else self.attack

    def ours(self, case: Case) -> Found:
        """Our side."""
        return self.call(case) if self.call is not None else ours(case, self.attack, self.params)
