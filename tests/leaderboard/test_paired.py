"""Two entries on the same images: the difference, what resampling makes of it, and what is left out."""

import pytest

from leaderboard.paired import differences

from .conftest import holed

ALL = ("no-box", "black-box", "gray-box", "white-box", "adaptive", "all")


def felled(images, track="white-box", attack="pgd-20"):
    return {(track, attack, image): 8.0 for image in images}


def by_track(*entries, table):
    return {one.track: one for one in differences(table(*entries), "one", "other")}


def test_the_difference_is_that_of_the_worst_cases_over_the_same_images(table, pretend):
    told = by_track(pretend("one", falls=felled(range(2))), pretend("other", falls=felled(range(9))), table=table)
    assert tuple(told) == ("clean", *ALL)
    assert (told["all"].first, told["all"].second, told["all"].n) == (0.8, pytest.approx(0.1), 10)
    assert told["all"].value == pytest.approx(0.7)
    assert told["all"].verdict == "higher"
    assert told["no-box"].value == 0
    assert told["no-box"].verdict == "no significant difference"


def test_the_order_of_the_entries_turns_the_sign(table, pretend):
    rows = table(pretend("one", falls=felled(range(2))), pretend("other", falls=felled(range(9))))
    there = next(one for one in differences(rows, "one", "other") if one.track == "all")
    back = next(one for one in differences(rows, "other", "one") if one.track == "all")
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))
    assert back.verdict == "lower"


def test_what_is_hard_for_both_takes_nothing_from_the_interval(table, pretend):
    """Half of the images fall to both: unpaired intervals of 50 % and 60 % on ten images would overlap by far."""
    same = by_track(pretend("one", falls=felled(range(5))), pretend("other", falls=felled(range(5))), table=table)
    assert (same["all"].low, same["all"].value, same["all"].high) == (0, 0, 0)


def test_clean_accuracy_is_compared_on_all_clean_images(table, pretend):
    told = by_track(pretend("one"), pretend("other", wrong_clean=frozenset(range(6))), table=table)
    assert (told["clean"].value, told["clean"].n) == (0.5, 12)


def test_images_that_only_one_entry_was_run_on_do_not_count(table, pretend):
    told = by_track(pretend("one"), pretend("other", attacked=4, falls=felled([0])), table=table)
    assert (told["all"].n, told["all"].second) == (4, 0.75)


def test_a_track_with_a_gap_is_left_out_and_with_it_the_whole(table, pretend):
    rows = holed(pretend("other").rows(), track="white-box", attack="fgsm", sample_id="00003")
    told = by_track(pretend("one"), rows, table=table)
    assert set(told) == {"clean", *ALL} - {"white-box", "all"}


def test_a_clean_track_with_a_gap_is_left_out_too(table, pretend):
    rows = holed(pretend("other").rows(), track="clean", sample_id="00003")
    assert "clean" not in by_track(pretend("one"), rows, table=table)


def test_a_data_set_that_only_one_was_run_on_is_left_out(table, pretend):
    rows = table(pretend("one"), pretend("other"), pretend("one", dataset="further"))
    assert {one.dataset for one in differences(rows, "one", "other")} == {"films"}


def test_official_rows_are_preferred(table, pretend):
    fresh = pretend("one", falls=felled(range(10)), changes={"official": False})
    told = by_track(pretend("one"), fresh, pretend("other"), table=table)
    assert told["all"].value == 0


def test_without_one_of_the_tracks_nothing_is_said_of_all_of_them(table, pretend):
    partly = [row for row in pretend("one").rows() if row["track"] not in ("white-box", "adaptive")]
    told = by_track(partly, pretend("other", falls=felled(range(5))), table=table)
    assert set(told) == {"clean", "no-box", "black-box", "gray-box"}


@pytest.mark.parametrize("changed", [{"profile": "quick"}, {"matrix_hash": "b" * 64}])
def test_attacks_with_other_budgets_are_not_compared(table, pretend, changed):
    other = [row | changed for row in pretend("other", falls=felled(range(5))).rows()]
    assert set(by_track(pretend("one"), other, table=table)) == {"clean"}
