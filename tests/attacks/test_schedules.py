"""How far an attack reaches as it goes on, look by look: the sides of Square's squares."""

import math

import pytest
import torch
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from benchmark.access import black_box
from benchmark.attacks.square import Square
from benchmark.defense import Defense
from benchmark.randomness import Randomness
from benchmark.task import Classification

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
        asked.append(images)
        return ask(images, rows)

    view.query = noting
    images = torch.full((1, 1, 32, 32), 0.5)
    Square(queries=400)(view, Classification(2), images, ZERO, 16.0, Randomness([1]))
    rows = [int((image != asked[0]).any(dim=3).sum()) for image in asked[1:]]
    assert rows == sides_of_the_authors(400, 32 * 32)
    assert set(rows) == {20, 14, 10, 7, 5, 4, 3, 2, 1}
