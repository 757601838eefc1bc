"""Success against the query budget, from the queries that each fall cost."""

import pytest

from leaderboard.costs import costs
from leaderboard.entries import entries
from leaderboard.queries import query_curves


@pytest.fixture
def attacked(table, pretend):
    """Ten attacked images: image i costs 100 (i + 1) queries; the first four fall to Square at 8/255."""
    return table(pretend("one", falls={("black-box", "square", i): 8.0 for i in range(4)}))


def test_the_curve_falls_by_each_image_once_its_queries_are_allowed(attacked):
    (entry,) = entries(attacked)
    (curve,) = query_curves(entry)
    assert (curve.attack, curve.n) == ("square", 10)
    share = {queries: value for queries, value, _, _ in curve.points}
    assert share == {1: 1.0, 3: 1.0, 10: 1.0, 30: 1.0, 100: 0.9, 300: 0.7, 1000: 0.6}


def test_a_curve_never_rises_and_lies_in_its_interval(attacked):
    (curve,) = query_curves(entries(attacked)[0])
    values = [value for _, value, _, _ in curve.points]
    assert values == sorted(values, reverse=True)
    assert all(low <= value <= high for _, value, low, high in curve.points)


def test_images_that_were_spared_the_attack_are_not_in_its_curve(table, pretend):
    rows = table(pretend("one", wrong_clean=frozenset({0, 1, 2})))
    (curve,) = query_curves(entries(rows)[0])
    assert curve.n == 7


def test_costs_count_what_was_run_and_what_was_spared(table, pretend):
    rows = pretend("one", tracks=("clean", "black-box"), wrong_clean=frozenset({9})).rows()
    for number, row in enumerate(rows):
        row["seed"] = number
    square = {(cost.track, cost.attack): cost for cost in costs(table(rows))}[("black-box", "square")]
    assert (square.attacked, square.skipped) == (36, 4)
    assert square.seconds == pytest.approx(36 * 0.01)
    assert square.queries == pytest.approx(500)


def test_a_row_copied_from_another_track_costs_once(table, pretend):
    rows = pretend("one").rows()
    for row in rows:
        if row["attack"] == "square":
            row.update(seed=7 * int(row["sample_id"]) + int(row["eps_255"]), seconds=0.25)
    found = {(cost.track, cost.attack): cost for cost in costs(table(rows))}
    assert found[("black-box", "square")].attacked == 40
    assert found[("white-box", "square")].attacked == found[("adaptive", "square")].attacked == 0
