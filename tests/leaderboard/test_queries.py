"""Success against the query budget, from the queries that each fall cost."""

import pytest

from benchmark.results.schema import REPEATED
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


def test_images_that_the_attack_skipped_are_not_in_its_curve(table, pretend):
    rows = table(pretend("one", wrong_clean=frozenset({0, 1, 2})))
    (curve,) = query_curves(entries(rows)[0])
    assert curve.n == 7


def test_costs_count_what_was_run_and_what_was_skipped(table, pretend):
    rows = table(pretend("one", tracks=("clean", "black-box"), wrong_clean=frozenset({9})))
    square = {(cost.track, cost.attack): cost for cost in costs(entries(rows))}[("black-box", "square")]
    assert (square.attacked, square.skipped) == (36, 4)
    assert square.seconds == pytest.approx(36 * 0.01)
    assert square.queries == pytest.approx(500)


def test_rows_that_repeat_another_tracks_cost_nothing_more(table, pretend):
    rows = pretend("one").rows()
    repeated = dict.fromkeys(REPEATED) | {"same_as": "black-box"}
    repeats = [one | (repeated if one["attack"] == "square" and one["track"] != "black-box" else {}) for one in rows]
    found = {(cost.track, cost.attack): cost for cost in costs(entries(table(repeats)))}
    assert found[("black-box", "square")].attacked == 40
    assert found[("white-box", "square")].attacked == found[("adaptive", "square")].attacked == 0
    assert found[("white-box", "square")].seconds == 0


def test_a_track_that_repeats_another_as_a_whole_has_no_costs_of_its_own(table, pretend):
    rows = pretend("one", tracks=("clean", "white-box")).rows()
    repeated = dict.fromkeys(REPEATED) | {"same_as": "white-box", "track": "adaptive"}
    lent = [one | repeated for one in rows if one["track"] == "white-box"]
    assert {cost.track for cost in costs(entries(table([*rows, *lent])))} == {"white-box"}
