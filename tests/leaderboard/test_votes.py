"""Copies and Robust Metric of a defense that votes, per track."""

import pytest

from benchmark.results.schema import REPEATED
from leaderboard.metrics import records
from leaderboard.votes import COPIES, LARGEST, METRIC

from .conftest import only


def voting(pretend, **more):
    """Rows of an entry whose image i takes 10 (i + 1) copies, all of them 120 at most, and scores i / 10."""
    rows = pretend("one", **more).rows()
    for one in rows:
        copies, score = 10 * (int(one["sample_id"]) + 1), int(one["sample_id"]) / 10
        if one["track"] == "corruption":
            frames = len(one["preds"])
            one.update(copies_taken=[copies] * frames, scores=[score] * frames)
        elif not one["skipped"]:
            one.update(copies=copies, score=score)
    return rows


def figures(found, track):
    return {
        record.metric: record
        for record in found
        if record.track == track and record.metric in (COPIES, LARGEST, METRIC)
    }


def test_clean_images_count_once_each(table, pretend):
    told = figures(records(table(voting(pretend))), "clean")
    assert told[COPIES].value == pytest.approx(65)
    assert told[LARGEST].value == pytest.approx(1 / 12)
    assert told[METRIC].value == pytest.approx(0.55)
    assert {record.n for record in told.values()} == {12}
    assert all(record.low <= record.value <= record.high for record in told.values())


def test_an_attacked_image_counts_as_often_as_it_was_judged(table, pretend):
    """Image 0 falls at 1/255 to the first cell and is skipped what follows: one answer of eight."""
    told = figures(records(table(voting(pretend, falls={("no-box", "pgd-20", 0): 1.0}))), "no-box")
    answers = {0: 1} | dict.fromkeys(range(1, 10), 8)
    total = sum(10 * (image + 1) * count for image, count in answers.items())
    assert told[COPIES].value == pytest.approx(total / sum(answers.values()))
    assert told[COPIES].attack == "mean"
    assert told[COPIES].n == 10


def test_every_frame_of_a_corruption_sequence_is_an_answer(table, pretend):
    """Image 1 takes 20 copies to each frame but one, image 0 takes 10: of five frames in each of 70 sequences."""
    rows = voting(pretend)
    hasty = next(one for one in only(rows, "corruption") if one["sample_id"] == "00001")
    hasty["copies_taken"] = [20, 20, 20, 20, 7]
    told = figures(records(table(rows)), "corruption")
    assert told[COPIES].value == pytest.approx((350 * 10 + 349 * 20 + 7) / 700)
    assert told[COPIES].n == 2


def test_answers_that_repeat_another_tracks_count_there_alone(table, pretend):
    rows = voting(pretend, tracks=("clean", "white-box"))
    repeated = dict.fromkeys(REPEATED) | {"same_as": "white-box", "track": "adaptive"}
    found = records(table([*rows, *(one | repeated for one in only(rows, "white-box"))]))
    assert figures(found, "white-box")
    assert not figures(found, "adaptive")


def test_answers_of_one_patient_are_drawn_together(table, pretend):
    rows = voting(pretend)
    apart = figures(records(table(rows)), "clean")[COPIES]
    for one in rows:
        one["group_id"] = "one patient"
    together = figures(records(table(rows)), "clean")[COPIES]
    assert together.low == together.high == together.value == apart.value
    assert apart.low < apart.high


def test_a_defense_without_a_vote_has_no_such_figures(table, pretend):
    assert not {record.metric for record in records(table(pretend("one")))} & {COPIES, LARGEST, METRIC}
