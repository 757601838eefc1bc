"""Nested budgets: which cell meets which image at which budget, and what a row then says."""

import pytest

from benchmark.engine.attack_track import order
from benchmark.engine.ladder import Ladder
from benchmark.engine.rows import Outcome
from benchmark.matrix import Cell


def outcome(right):
    return Outcome(int(right), int(right), 1, False, None, [1.0 - right, float(right)])


def cell(name, cost, eps=(1, 8)):
    facts = {"knowledge": "", "objective": "", "source": ""}
    return Cell(track="white-box", name=name, method="pgd", eps_255=list(eps), cost=cost, **facts)


CELLS = [
    cell("dear-one", "expensive"),
    cell("cheap-one", "inexpensive"),
    cell("cheap-two", "inexpensive", (1, 4, 8)),
    cell("d", "expensive"),
]


def test_cheap_cells_come_first_with_eps_rising_then_each_dear_cell_from_the_largest_eps_down():
    plan = [(cell.name, eps) for cell, eps in order(CELLS, individual=False)]
    assert plan == [
        ("cheap-one", 1),
        ("cheap-two", 1),
        ("cheap-two", 4),
        ("cheap-one", 8),
        ("cheap-two", 8),
        ("dear-one", 8),
        ("dear-one", 1),
        ("d", 8),
        ("d", 1),
    ]


def test_where_each_budget_is_searched_dear_cells_rise_too():
    plan = [(cell.name, eps) for cell, eps in order(CELLS, individual=False, each=True)]
    assert plan[5:] == [("dear-one", 1), ("d", 1), ("dear-one", 8), ("d", 8)]


def test_individual_runs_take_the_cells_one_by_one():
    plan = [(cell.name, eps) for cell, eps in order(CELLS, individual=True)]
    assert plan[:4] == [("dear-one", 1), ("dear-one", 8), ("cheap-one", 1), ("cheap-one", 8)]


@pytest.mark.parametrize("individual", [True, False])
def test_every_cell_meets_every_budget_of_its_own_exactly_once(individual):
    plan = [(cell.name, eps) for cell, eps in order(CELLS, individual)]
    assert sorted(plan) == sorted((cell.name, eps) for cell in CELLS for eps in cell.eps_255)


def test_an_image_wrong_on_clean_has_fallen_at_every_budget():
    ladder = Ladder(outcome(right=False))
    for eps in (0.5, 8):
        assert ladder.broken_at(eps).text == "clean"


def test_a_fall_counts_at_its_own_and_all_larger_budgets():
    ladder = Ladder(outcome(right=True))
    ladder.record("fgsm", 2, outcome(right=False))
    assert ladder.broken_at(1) is None
    assert ladder.broken_at(2).text == ladder.broken_at(8).text == "fgsm@2"


def test_the_smallest_budget_at_which_an_image_was_broken_is_the_one_that_is_named():
    ladder = Ladder(outcome(right=True))
    ladder.record("square", 8, outcome(right=False))
    ladder.record("square", 4, outcome(right=False))
    assert ladder.broken_at(8).text == "square@4"


def test_what_survived_a_cell_counts_as_having_survived_it_below_and_not_above():
    ladder = Ladder(outcome(right=True))
    ladder.record("square", 4, outcome(right=True))
    assert ladder.survival_of("square", 2) is not None
    assert ladder.survival_of("square", 4) is not None
    assert ladder.survival_of("square", 8) is None


def test_surviving_one_cell_says_nothing_of_another():
    ladder = Ladder(outcome(right=True))
    ladder.record("square", 8, outcome(right=True))
    assert ladder.survival_of("fab-t", 1) is None


def test_the_survival_of_the_largest_budget_is_kept():
    ladder = Ladder(outcome(right=True))
    large, small = outcome(right=True), outcome(right=True)
    ladder.record("square", 8, large)
    ladder.record("square", 2, small)
    assert ladder.survival_of("square", 2) is large
