"""What attack rows keep, rule by rule."""

import pytest

from benchmark.engine.rows import to_table
from benchmark.results.compact import compacted
from benchmark.results.schema import DIAGNOSTIC, NORMS, REPEATED, SCHEMA

COSTS = ("queries", "gradients", "seconds")


def attack(**changes):
    """An attack's row as the engine makes it, before anything is left out."""
    row = {"submission": "one", "dataset": "films", "track": "white-box", "attack": "fgsm", "norm": "linf"}
    row |= {"eps_255": 8.0, "sample_id": "a", "status": "ok", "label": 1, "pred": 1, "correct": True, "skipped": False}
    row |= {"same_as": "", "probs": [0.12345, 0.2, 0.67655], "score": 0.123456, "copies": 16}
    row |= {"linf": 0.0313726, "l2": 0.876543, "pixels": 12, "queries": 20, "gradients": 10, "seconds": 0.0123456}
    return row | changes


def kept(*rows):
    """The rows after compaction."""
    return compacted(to_table(rows)).to_pylist()


def one(**changes):
    (row,) = kept(attack(**changes))
    return row


@pytest.mark.parametrize("track", ["no-box", "black-box", "gray-box", "white-box", "adaptive", DIAGNOSTIC])
def test_attack_rows_leave_out_the_last_class_and_keep_three_decimals(track):
    row = one(track=track)
    assert row["probs"] is None
    assert row["probs_but_last"] == pytest.approx([0.123, 0.2], abs=1e-7)


def test_clean_rows_keep_the_probabilities_of_all_classes_as_they_are():
    row = one(track="clean", norm="")
    assert row["probs"] == pytest.approx([0.12345, 0.2, 0.67655])
    assert row["probs_but_last"] is None


@pytest.mark.parametrize("track", ["clean", "corruption"])
def test_rows_of_other_tracks_stay_as_they_are_among_attacks_too(track):
    before = attack(track=track, norm="", linf=None, l2=None, pixels=None, seconds=0.0)
    (after, _) = kept(before, attack())
    (alone,) = to_table([before]).to_pylist()
    assert after == alone


def test_a_table_without_attacks_is_the_same_table():
    table = to_table([attack(track="clean")])
    assert compacted(table) is table


@pytest.mark.parametrize(("norm", "column"), [("linf", "linf"), ("l2", "l2"), ("l0", "pixels")])
def test_the_distance_is_told_in_the_cells_own_norm_alone(norm, column):
    row = one(norm=norm)
    assert {name for name in ("linf", "l2", "pixels") if row[name] is not None} == {column}


def test_distances_have_three_decimals():
    assert one(norm="linf")["linf"] == pytest.approx(0.031, abs=1e-7)
    assert one(norm="l2")["l2"] == pytest.approx(0.877, abs=1e-6)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0123456, 0.012), (12.3456, 12.0), (0.0, 0.0), (987.6, 990.0), (None, None)]
)
def test_seconds_have_two_digits(seconds, told):
    assert one(seconds=seconds)["seconds"] == (None if told is None else pytest.approx(told, rel=1e-6))


def test_a_skipped_row_keeps_its_verdict_and_leaves_costs_distances_scores_and_probabilities_to_the_row_it_follows():
    row = one(skipped=True, broken_by="fgsm@2")
    gone = (*COSTS, "linf", "l2", "pixels", "score", "copies", "probs", "probs_but_last")
    assert {name: row[name] for name in gone} == dict.fromkeys(gone)
    assert (row["pred"], row["correct"], row["broken_by"]) == (1, True, "fgsm@2")


def test_a_row_that_repeats_another_tracks_keeps_its_verdict_and_leaves_the_rest_to_that_one():
    row = one(same_as="black-box")
    assert {name: row[name] for name in REPEATED} == dict.fromkeys(REPEATED)
    assert (row["pred"], row["correct"], row["same_as"]) == (1, True, "black-box")


def test_each_row_is_looked_at_by_itself():
    own, skipped, repeated = kept(attack(), attack(skipped=True, sample_id="b"), attack(same_as="x", sample_id="c"))
    assert [row["queries"] for row in (own, skipped, repeated)] == [20, None, None]
    assert [row["probs_but_last"] is None for row in (own, skipped, repeated)] == [False, True, True]


def test_a_gap_has_no_probabilities_and_says_why():
    row = one(status="gap", reason="crash", pred=None, correct=False, probs=None)
    assert (row["status"], row["reason"], row["probs_but_last"]) == ("gap", "crash", None)


def test_compacting_twice_changes_nothing_more():
    rows = [attack(norm=norm, sample_id=norm) for norm in NORMS] + [attack(skipped=True), attack(same_as="black-box")]
    once = compacted(to_table(rows))
    assert compacted(once).equals(once)
    assert once.schema.equals(SCHEMA)


def test_the_size_of_a_gradient_is_kept():
    row = one(track=DIAGNOSTIC, attack="gradient", norm="", eps_255=None, score=0.123456, probs=None)
    assert row["score"] == pytest.approx(0.123456)
