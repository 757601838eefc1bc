"""How far an attack reaches as it goes on, look by look: the sides of Square's squares, the steps of Auto-PGD."""

import math
from collections.abc import Sequence

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from benchmark.access import black_box, white_box
from benchmark.access.views import Evaluation
from benchmark.attacks.apgd import Apgd
from benchmark.attacks.square import Square
from benchmark.defense import Defense
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from .peers import leaving_no_trace

ZERO = torch.zeros(1, dtype=torch.int64)


def sides_of_the_authors(queries: int, pixels: int) -> list[int]:
    peer = SquareAttack(None, n_queries=queries, resc_schedule=True, device="cpu")
    shares = [peer.p_selection(iteration) for iteration in range(1, queries)]
    return [max(round(math.sqrt(share * pixels)), 1) for share in shares]


@pytest.mark.parametrize("queries", [100, 1000, 5000, 10_000])
def test_squares_shrink_at_the_iterations_at_which_the_authors_do(queries):
    side = Square(queries=queries).side
    assert [side(iteration, 48, 48) for iteration in range(1, queries)] == sides_of_the_authors(queries, 48 * 48)


class Stripes(nn.Module):
    """Falls back the more the rows differ: of what Square tries, nothing is as good as the stripes that it begins with.

    A square then changes some of its columns in all of its rows, and the rows that change tell its side.
    """

    def forward(self, images: Tensor) -> Tensor:
        uneven = 1 + images.var(dim=2).sum(dim=(1, 2))
        return torch.stack([uneven, torch.zeros_like(uneven)], dim=1)


def test_the_squares_that_are_asked_about_have_the_sides_of_the_schedule():
    view = black_box(Defense(Stripes(), 2), Randomness([1]), budget=400)
    asked, ask = [], view.query

    def noting(images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        asked.extend(images.split(1))
        return ask(images, rows)

    view.query = noting
    images = torch.full((1, 1, 32, 32), 0.5)
    Square(queries=400)(view, Classification(2).goal(ZERO), images, 16.0, Randomness([1]))
    rows = [int((image != asked[0]).any(dim=3).sum()) for image in asked[1:]]
    assert rows == sides_of_the_authors(400, 32 * 32)
    assert set(rows) == {20, 14, 10, 7, 5, 4, 3, 2, 1}


class Told:
    """A view on one pixel that is told the loss of each look.

    ``turn`` is the sign of the gradient at look ``at``, ``on`` at all others: +1 points to the face of the ball at
    which the attack started, -1 to the one opposite.
    """

    stochastic = False

    def __init__(self, losses: Sequence[float], at: int, turn: int, on: int) -> None:
        self.losses, self.at, self.turn, self.on = losses, at, turn, on
        self.places: list[float] = []
        """Where each look was: 1 at the face of the start, -1 at the one opposite."""

    def evaluate(self, images: Tensor, objective: object, rows: Tensor) -> Evaluation:
        look = len(self.places)
        if look == 0:
            self.start = images - 0.5
        self.places.append(float((images - 0.5) / self.start))
        gradient = self.start.sign() * (self.turn if look == self.at else self.on)
        return Evaluation(torch.tensor([self.losses[look]]), gradient, torch.tensor([[1.0, 0.0]]))


def places(losses: Sequence[float], at: int = 0, turn: int = -1, on: int = 1) -> list[float]:
    view = Told(losses, at, turn, on)
    attack = Apgd(iterations=len(losses) - 1)
    attack(view, Classification(2).goal(ZERO), torch.full((1, 1, 1, 1), 0.5), 64.0, Randomness([3]))
    return view.places


def jumps(losses: Sequence[float]) -> dict[int, float]:
    """Look -> how far it lies from the face of the start, for each that left it, in radii.

    The gradient leads away from that face at the look of the highest loss alone. So a look leaves the face after that
    one, and again whenever the attack goes back to it, which it does with three quarters of its step (Algorithm 1's
    alpha).
    """
    seen = places(losses, at=max(range(len(losses)), key=losses.__getitem__))
    left = [k for k in range(1, len(seen)) if seen[k - 1] > 1 - 1e-6 and seen[k] < 1 - 1e-6]
    return {k: 1 - seen[k] for k in left}


def rising(looks: int) -> list[float]:
    return [0.001 * k for k in range(looks)]


@pytest.mark.parametrize(("rises", "halved"), [(16, True), (17, False)])
def test_apgd_halves_its_step_where_fewer_than_three_quarters_of_the_steps_since_the_checkpoint_rose(rises, halved):
    """The first checkpoint is at look 22, and three quarters of 22 steps are 16.5."""
    falls = 22 - rises
    found = jumps([9.0, *(-1.0 - k for k in range(falls)), *rising(100 - falls)])
    assert found.get(23) == (pytest.approx(0.75, abs=1e-5) if halved else None)


def test_apgd_halves_its_step_where_the_best_stood_still_since_the_checkpoint_but_never_twice_running():
    """Every step rises and none above the first look: the checkpoints are 22, 41, 57, 70, 80, 87, 93 and 99.

    The step counts as new at the first of them, as in the authors' code; then every second one finds it as it was.
    """
    found = jumps([9.0, *rising(100)])
    assert list(found) == [1, 42, 71, 88, 100]
    assert list(found.values()) == pytest.approx([2, 0.75, 0.75 / 2, 0.75 / 4, 0.75 / 8], abs=1e-5)


def test_what_the_best_gained_before_a_checkpoint_does_not_count_after_it():
    """The best is the tenth look. At look 22 it is new, at 41 it is not, and nearly every step rises all the while."""
    found = jumps([*rising(10), 9.0, *rising(90)])
    assert list(found)[:2] == [11, 42]
    assert found[42] == pytest.approx(0.75, abs=1e-5)


def test_apgd_halves_its_step_at_every_checkpoint_while_the_loss_only_falls():
    found = jumps([float(-k) for k in range(101)])
    assert list(found) == [1, 23, 42, 58, 71, 81, 88, 94, 100]
    assert list(found.values()) == pytest.approx([2, *(0.75 / 2**k for k in range(8))], abs=1e-5)


def test_apgd_goes_on_from_its_best_point_when_it_halves_its_step():
    """The best point is the start, all other looks lie at the opposite face: -1.

    From there three quarters of a step of one radius lead back, and a quarter of the way that it just came on.
    """
    seen = places([float(-k) for k in range(101)], on=-1)
    assert seen[1:23] == pytest.approx([-1] * 22, abs=1e-5)
    assert seen[23] == pytest.approx(1 - 0.75 + 0.25 * (1 - -1), abs=1e-5)


class Waves(nn.Module):
    """Two logits of many hills and valleys inside one ball."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.slopes = nn.Parameter(torch.randn(5, 36, generator=generator), requires_grad=False)
        self.heights = nn.Parameter(torch.rand(5, generator=generator), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        waves = ((images.flatten(1) - 0.5) @ self.slopes.T * 6).sin() @ self.heights
        return torch.stack([-waves, waves], dim=1)


def test_apgd_looks_where_the_authors_code_looks_from_the_same_start():
    net, task, eps_255 = Waves(), Classification(2), 24.0
    images = 0.1 + 0.8 * torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6) % 2
    ours: list[Tensor] = []
    theirs: list[Tensor] = []
    hook = net.register_forward_pre_hook(lambda _, given: ours.append(given[0].detach().clone()))
    draw = Randomness(range(6))
    Apgd(iterations=100)(white_box(Defense(net, 2), draw), task.goal(labels), images, eps_255, draw)
    hook.remove()
    net.register_forward_pre_hook(lambda _, given: theirs.append(given[0].detach().clone()))
    with leaving_no_trace():
        peer = APGDAttack(net, n_iter=100, eps=eps_255 / 255, loss="ce", device="cpu")
        peer.init_hyperparam(images)
        peer.attack_single_run(images, labels, x_init=ours[0])
    assert len(ours) == len(theirs) == 101
    torch.testing.assert_close(torch.stack(ours), torch.stack(theirs), atol=1e-5, rtol=0)
