"""Several images of one patient are one piece of evidence, from the rows up to every interval that the board shows."""

import numpy as np
import pytest

from leaderboard.entries import entries
from leaderboard.metrics import records
from leaderboard.paired import differences
from leaderboard.queries import query_curves
from leaderboard.ranking import rank

COPIES = 4
SMALL = {"perturbations": ("snow", "shot_noise"), "severities": (1, 2), "frames": 3, "corrupted": 10}


@pytest.fixture
def two(pretend):
    """Rows of two entries: an image each for every patient, and no outcome the same for all of them."""
    falls = {("white-box", "fgsm", i): 8.0 for i in range(3)} | {("black-box", "square", i): 8.0 for i in (4, 5)}
    natural = pretend("natural", falls=falls, flip_every=2, **SMALL)
    other = pretend("other", falls={("adaptive", "square", 6): 4.0}, wrong_clean=frozenset({8}), flip_every=3, **SMALL)
    return [*natural.rows(), *other.rows()]


def copied(rows):
    """Each image several times over, under names of its own and with the patient that it had."""
    return [row | {"sample_id": f"{row['sample_id']}-{copy}"} for copy in range(COPIES) for row in rows]


def without_patients(rows):
    return [row | {"group_id": None} for row in rows]


def of_patients_of_their_own(rows):
    return [row | {"group_id": row["sample_id"]} for row in rows]


def assert_same(found, expected, times=1):
    """The same figures and the same intervals, from ``times`` as many images."""
    found, expected = list(found), list(expected)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        told, wanted = ({**vars(each), "reasons": str(getattr(each, "reasons", ""))} for each in (one, other))
        assert told == pytest.approx({**wanted, "n": times * other.n}, nan_ok=True)


def test_copies_of_a_patients_image_change_no_figure_and_no_interval(table, two):
    expected = records(table(two))
    assert_same(records(table(copied(two))), expected, COPIES)
    told = {one.metric for one in expected if one.low < one.high}
    assert told >= {
        *("accuracy", "balanced_accuracy", "sensitivity_class_1", "auc", "calibration_error"),
        *("robust_accuracy", "robust_accuracy_cumulative", "accuracy_on_attacked_subset", "queries_median"),
        *("flip_probability", "mean_flip_probability", "relative_flip_probability"),
    }
    assert {one.track for one in expected if one.low < one.high} >= {"clean", "corruption", "white-box", "all"}


def test_copies_of_a_patients_image_change_no_rank(table, pretend):
    """7 patients against 5 of 10 do not tell the entries apart; 28 images against 20 of 40 would."""
    rows = [
        row
        for name, fall in (("one", range(3)), ("two", range(5)))
        for row in pretend(name, falls={("adaptive", "pgd-20", i): 8.0 for i in fall}, frames=2).rows()
    ]
    expected = rank(table(rows))
    assert_same(rank(table(copied(rows))), expected, COPIES)
    assert [one.rank for one in expected] == [1, 1]
    apart = rank(table(of_patients_of_their_own(copied(rows))))
    assert [one.rank for one in apart] == [1, 2]


def test_copies_of_a_patients_image_make_no_difference_between_two_entries_surer(table, two):
    expected = differences(table(two), "natural", "other")
    assert_same(differences(table(copied(two)), "natural", "other"), expected, COPIES)
    assert {one.track for one in expected if one.low < one.high} >= {"clean", "white-box", "all"}


def test_copies_of_a_patients_image_leave_the_curve_of_queries_as_it_is(table, two):
    (expected,), (found,) = (query_curves(entries(table(rows))[0]) for rows in (two, copied(two)))
    assert np.array(found.points) == pytest.approx(np.array(expected.points))
    assert any(low < high for _, _, low, high in expected.points)


def test_where_no_patient_is_known_each_image_stands_for_itself(table, two):
    bare, own = table(without_patients(two)), table(of_patients_of_their_own(two))
    assert_same(records(bare), records(own))
    assert_same(rank(bare), rank(own))
    assert_same(differences(bare, "natural", "other"), differences(own, "natural", "other"))
    assert query_curves(entries(bare)[0]) == query_curves(entries(own)[0])
