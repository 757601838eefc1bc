"""Who is ranked and who is not."""

import math

import pytest

from leaderboard.ranking import rank

from .conftest import gap, holed, only


def falls(track, attack, images, eps=8.0):
    return {(track, attack, image): eps for image in images}


def places(standings):
    return {(s.submission, s.official): s.rank for s in standings}


MANY = {"labels": (0, 1) * 30, "attacked": 60, "frames": 2}


def test_the_more_robust_entry_stands_first(table, pretend):
    weak = pretend("weak", **MANY, falls=falls("adaptive", "pgd-20", range(40)))
    strong = pretend("strong", **MANY, falls=falls("adaptive", "pgd-20", range(5)))
    assert places(rank(table(weak, strong))) == {("strong", True): 1, ("weak", True): 2}


def test_entries_without_a_significant_difference_may_have_the_same_ranks(table, pretend):
    one = pretend("one", **MANY, falls=falls("adaptive", "pgd-20", range(20)))
    two = pretend("two", **MANY, falls=falls("adaptive", "square", range(2, 23)))
    last = pretend("last", **MANY, falls=falls("adaptive", "apgd-ce", range(55)))
    standings = rank(table(one, two, last))
    assert places(standings) == {("one", True): 1, ("two", True): 1, ("last", True): 3}
    assert [s.place for s in standings] == ["1–2", "1–2", "3"]


def test_a_difference_on_the_same_images_is_a_paired_one(table, pretend):
    """38 against 30 of 60: intervals of the two overlap, yet every image that differs differs one way."""
    one = pretend("one", **MANY, falls=falls("adaptive", "pgd-20", range(22)))
    two = pretend("two", **MANY, falls=falls("adaptive", "pgd-20", range(30)))
    standings = rank(table(one, two))
    assert standings[0].low < standings[1].high
    assert places(standings) == {("one", True): 1, ("two", True): 2}


def test_an_unofficial_entry_is_never_ranked(table, pretend):
    fresh = pretend("mine", changes={"official": False, "profile": "quick"})
    standings = rank(table(pretend("natural"), fresh))
    assert places(standings) == {("natural", True): 1, ("mine", False): None}
    assert standings[1].reasons == ("unofficial run",)


def test_an_entry_with_a_gap_is_shown_not_ranked_and_without_a_number(table, pretend):
    rows = holed(pretend("holed").rows(), "no gradient", attack="fgsm", sample_id="00001")
    (standing,) = rank(table(rows))
    assert standing.rank is None
    assert standing.reasons == ("gap in white-box fgsm on 1 image (no gradient)",)
    assert all(math.isnan(one) for one in (standing.value, standing.low, standing.high))


def test_a_gap_that_names_no_image_keeps_the_entry_off_the_ranks(table, pretend):
    rows = pretend("holed").rows()
    crashed = gap(only(rows, "adaptive")[-1], "crash") | {"sample_id": "", "label": None}
    (standing,) = rank(table([*rows, crashed]))
    assert standing.rank is None
    assert standing.reasons == ("gap in adaptive on a whole chunk of images (crash)",)


@pytest.mark.parametrize("track", ["adaptive", "corruption", "clean"])
def test_a_crashed_unit_leaves_its_images_without_a_verdict(table, pretend, track):
    rows = pretend("holed").rows()
    lost = [one for one in rows if one["track"] == track and one["sample_id"] == "00001"]
    kept = [one for one in rows if one not in lost]
    crashed = gap(lost[0], "crash") | {"attack": "none", "suite": "", "norm": "", "eps_255": None, "severity": None}
    (standing,) = rank(table([*kept, crashed]))
    assert standing.rank is None
    assert standing.reasons[0] == f"gap in {track} on 1 image (crash)"
    assert math.isnan(standing.value) == (track == "adaptive")


@pytest.mark.parametrize("track", ["corruption", "gray-box", "adaptive"])
def test_an_entry_without_one_track_is_not_ranked(table, pretend, track):
    tracks = tuple(one for one in pretend("whole").tracks if one != track)
    (standing,) = rank(table(pretend("short", tracks=tracks)))
    assert standing.rank is None
    assert standing.reasons == (f"track {track} is missing",)


def test_an_entry_with_a_missing_perturbation_is_not_ranked(table, pretend):
    (standing,) = rank(table(pretend("short", perturbations=("snow", "shot_noise"))))
    assert standing.reasons == ("corruption track has 2 of 14 perturbations and 5 of 5 severities",)


def test_an_entry_whose_required_cell_is_missing_is_not_ranked(table, pretend, asks):
    (standing,) = rank(table(pretend("short")), asks(("adaptive", "fab-t", "linf", 8.0)))
    assert standing.reasons == ("no verdict in adaptive fab-t at 8/255 for 10 of 10 images",)


def test_budgets_without_a_verdict_are_told_in_the_unit_of_their_norm(table, pretend, asks):
    squares = [("white-box", "cw", "l2", 1.0), ("white-box", "cw", "l2", 2.0)]
    pixels = [("white-box", "jsma", "l0", 1.0), ("white-box", "jsma", "l0", 16.0)]
    (standing,) = rank(table(pretend("short")), asks(*squares, *pixels))
    assert standing.reasons == (
        "no verdict in white-box cw at 1, 2/255 RMS for 10 of 10 images",
        "no verdict in white-box jsma at 1, 16 pixels for 10 of 10 images",
    )


def test_an_entry_mixed_from_two_revisions_is_not_ranked(table, pretend):
    first = pretend("mixed", tracks=("clean", "corruption", "no-box")).rows()
    others = ("black-box", "gray-box", "white-box", "adaptive", "diagnostic")
    second = pretend("mixed", tracks=others, changes={"submission_hash": "e" * 64})
    (standing,) = rank(table([*first, *second.rows()]))
    assert standing.reasons == ("its rows come from 2 different values of submission_hash",)


def test_tracks_may_use_other_subsets_but_all_attacks_the_same_one(table, pretend):
    """The clean track has the whole split, so its images have a hash of their own."""
    one = pretend("one").rows()
    for row in one:
        row["dataset_hash"] = {"clean": "1" * 64, "corruption": "2" * 64}.get(row["track"], "3" * 64)
    assert places(rank(table(one))) == {("one", True): 1}
    for row in one:
        if row["track"] == "adaptive":
            row["dataset_hash"] = "4" * 64
    (standing,) = rank(table(one))
    assert standing.rank is None
    assert standing.reasons[0].endswith("and adaptive come from 2 different values of dataset_hash")


def test_an_entry_judged_on_other_images_does_not_stand_on_the_same_board(table, pretend):
    standings = rank(table(pretend("one"), pretend("two"), pretend("other", attacked=8)))
    assert places(standings) == {("one", True): 1, ("two", True): 1, ("other", True): None}
    assert standings[-1].reasons == ("judged on other images or another matrix than the rest of this board",)


def test_boards_of_two_data_sets_are_ranked_apart(table, pretend):
    standings = rank(table(pretend("one"), pretend("two", dataset="skin")))
    assert [(s.dataset, s.rank) for s in standings] == [("films", 1), ("skin", 1)]


def test_an_entry_of_an_older_matrix_stands_beside_the_board_of_the_one_in_force(table, pretend, asks):
    """However many there are of it: new rules do not wait for a majority."""
    old = [pretend(name, changes={"matrix_hash": "0" * 64}) for name in ("first", "second")]
    standings = {one.submission: one for one in rank(table(*old, pretend("new")), asks())}
    assert standings["new"].rank == 1
    assert standings["first"].rank is standings["second"].rank is None
    assert "another matrix" in standings["first"].reasons[0]
