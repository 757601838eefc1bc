"""MedRDF as a whole (noise, median filter, vote): what it withstands and what gets through, on a tiny trained network.

Two signs tell the classes apart: every pixel leans towards the label by 4/255, and by twice as much more in a direction
of its own, which looks like noise. A linear network learns both and trusts the second more, which the median takes
away. An attacker of the bare network spends its budget on that sign; one who sees the whole defense does not.
"""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.access import adaptive, black_box, black_box_labels, views, white_box
from benchmark.attacks.apgd import Apgd
from benchmark.attacks.pgd import Pgd
from benchmark.attacks.rays import Rays
from benchmark.attacks.square import Square
from benchmark.defense import Defense
from benchmark.defense.stages import BinomialVote, MedianFilter, SaltAndPepper
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

SIZE, COUNT = 16, 64
SMOOTH, ROUGH = 4 / 255, 8 / 255
"""How far the two signs move a pixel."""

EPS_255 = 12
"""Beyond what the bare network withstands."""

TASK = Classification(2)


class Linear(nn.Module):
    """z = W (x - 0.5) + b."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(SIZE * SIZE, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer((images - 0.5).flatten(1))


@dataclass(frozen=True)
class Problem:
    """The trained network, bare and behind MedRDF, and test images."""

    bare: Defense
    medrdf: Defense
    images: Tensor
    labels: Tensor

    def right(self, defense: Defense, images: Tensor) -> float:
        """Share of right answers; an abstention is none."""
        answers = defense.predict(images, Randomness(range(COUNT)))
        return float(TASK.score(answers, self.labels).float().mean())

    def without_knowledge(self, eps_255: float = EPS_255) -> Tensor:
        """PGD on the bare network."""
        draw = Randomness(range(COUNT))
        view = white_box(self.bare, draw.fork("view"))
        return Pgd(steps=20)(view, TASK.goal(self.labels), self.images, eps_255, draw.fork("attack"))

    def through_all(self, attack: Pgd | Apgd, eot: int = 10, eps_255: float = EPS_255) -> Tensor:
        """An attack through noise and filter, gradients averaged over ``eot`` draws."""
        draw = Randomness(range(COUNT))
        view = adaptive(self.medrdf, draw.fork("view"), eot)
        return attack(view, TASK.goal(self.labels), self.images, eps_255, draw.fork("attack"))


def make_images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    rough = torch.randn(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).sign()
    lean = (2.0 * labels - 1).reshape(-1, 1, 1, 1) * (SMOOTH + ROUGH * rough)
    return (0.5 + lean + 0.03 * torch.randn(count, 1, SIZE, SIZE, generator=draw)).clamp(0, 1), labels


@pytest.fixture(scope="module")
def problem() -> Problem:
    images, labels = make_images(512, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Linear()
    optimiser = torch.optim.SGD(network.parameters(), 0.5)
    for _ in range(300):
        optimiser.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimiser.step()
    network.eval().requires_grad_(False)
    stages = [SaltAndPepper(level=0.1), MedianFilter()]
    medrdf = Defense(network, 2, stages=stages, vote=BinomialVote(copies=200))
    return Problem(Defense(network, 2), medrdf, *make_images(COUNT, 2))


def test_medrdf_withstands_an_attack_on_the_bare_network_that_fells_it(problem: Problem) -> None:
    found = problem.without_knowledge()
    assert problem.right(problem.bare, found) < 0.05
    assert problem.right(problem.medrdf, found) > 0.9
    assert problem.right(problem.medrdf, problem.images) > 0.95


@pytest.mark.parametrize("attack", [Pgd(steps=20), Apgd(iterations=20)], ids=["pgd", "apgd"])
def test_an_attack_through_noise_and_filter_beats_medrdf_where_one_on_the_bare_network_does_not(
    problem: Problem, attack: Pgd | Apgd
) -> None:
    assert problem.right(problem.medrdf, problem.through_all(attack)) < 0.05


def test_gradients_averaged_over_draws_beat_more_of_medrdf_than_those_of_one_draw(problem: Problem) -> None:
    one, ten = (problem.through_all(Pgd(steps=20), eot, eps_255=8) for eot in (1, 10))
    assert problem.right(problem.medrdf, ten) < problem.right(problem.medrdf, one) - 0.15


def test_an_attack_through_medrdf_is_not_one_on_the_network_behind_it(problem: Problem) -> None:
    """The bare network withstands 8/255, and MedRDF over it does not: the filter takes the sign that it trusted."""
    found = problem.through_all(Pgd(steps=20), eps_255=8)
    assert problem.right(problem.bare, found) > 0.9
    assert problem.right(problem.medrdf, found) < 0.2


@pytest.mark.parametrize(
    ("attack", "eps_255"), [(Rays(queries=150), 9), (Square(queries=150), 16)], ids=["rays", "square"]
)
def test_asking_200_copies_of_a_long_vote_fells_as_much_of_it_as_asking_it_whole(
    problem: Problem, monkeypatch: pytest.MonkeyPatch, attack: Rays | Square, eps_255: float
) -> None:
    count = 10
    images, labels, draw = problem.images[:count], problem.labels[:count], Randomness(range(count))
    long = Defense(problem.bare.classifier, 2, problem.medrdf.stages, BinomialVote(copies=2000))
    fallen = []
    for copies in (views.COPIES_PER_QUERY, 2000):
        monkeypatch.setattr(views, "COPIES_PER_QUERY", copies)
        answers = black_box_labels if isinstance(attack, Rays) else black_box
        view = answers(long, draw.fork("view"), 150)
        found = attack(view, TASK.goal(labels), images, eps_255, draw.fork("attack"))
        fallen.append(int((TASK.score(long.predict(found, Randomness(range(count))), labels) == 0).sum()))
    assert fallen[0] >= 4
    assert abs(fallen[0] - fallen[1]) <= 1
