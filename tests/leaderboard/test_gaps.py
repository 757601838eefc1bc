"""A gap is a dash with its reason: what did not run has no number, and nothing that would need it has one."""

import csv
import json
import math
import re

import numpy as np
import pytest

from benchmark.matrix import load_matrix
from leaderboard.entries import entries
from leaderboard.gaps import Gaps, gap_rows
from leaderboard.metrics import headline, records
from leaderboard.published import Setting, as_plain, side_by_side
from leaderboard.record import as_csv, as_json
from leaderboard.site import build_site
from leaderboard.verdicts import CellKey, verdicts

from .conftest import gap, holed, only

SQUARE = {"track": "black-box", "attack": "square", "sample_id": "00002"}
"""Where one cell has a gap on one image."""


def value(found, **wanted):
    """The one record with these fields."""
    hits = [r for r in found if all(getattr(r, name) == wish for name, wish in wanted.items())]
    assert len(hits) == 1, (wanted, hits)
    return hits[0]


def has_no_number(record, reason):
    return (record.known, record.complete, record.reason) == (False, False, reason) and all(
        math.isnan(one) for one in (record.value, record.low, record.high)
    )


def unknown(found):
    """Track and attack of every record without a number."""
    return {(one.track, one.attack) for one in found if not one.known}


def sequences_without(rows, **where):
    """Rows without those of these sequences."""
    return [one for one in rows if not all(one[name] == value for name, value in where.items())]


@pytest.fixture
def square(table, pretend):
    """Records of an entry with a gap in Square on one image."""
    return records(table(holed(pretend("one").rows(), "out of memory", **SQUARE)))


def test_a_cell_with_a_gap_on_one_image_has_no_number_at_any_budget(square):
    cells = [one for one in square if (one.track, one.attack) == ("black-box", "square") and "robust" in one.metric]
    assert [one.eps_255 for one in cells] == [1, 2, 4, 8]
    assert all(has_no_number(one, "gap in black-box square: out of memory") for one in cells)


@pytest.mark.parametrize("track", ["black-box", "all"])
def test_no_worst_case_that_the_cell_would_enter_has_a_number(square, track):
    worst = value(square, track=track, attack="worst-case", eps_255=8.0, metric="robust_accuracy")
    assert has_no_number(worst, "gap in black-box square: out of memory")
    assert worst.n == 10


def test_everything_else_keeps_its_number(square):
    assert unknown(square) == {("black-box", "square"), ("black-box", "worst-case"), ("all", "worst-case")}
    assert value(square, track="adaptive", attack="worst-case", eps_255=8.0).value == 1.0


def test_without_a_worst_case_there_are_no_figures_per_class_under_it(square):
    assert {one.metric for one in square if (one.track, one.eps_255) == ("all", 8.0)} == {"robust_accuracy"}


def test_what_a_suite_has_a_gap_in_has_no_number_as_a_suite(table, pretend):
    rows = holed(pretend("one").rows(), track="white-box", attack="apgd-ce", sample_id="00001")
    found = unknown(records(table(rows)))
    assert ("white-box", "autoattack") in found
    assert ("white-box", "fgsm") not in found


def test_a_gap_in_an_unranked_cell_takes_no_number_from_the_worst_case(table, pretend):
    rows = holed(pretend("one").rows_with_uncounted(falling=2), unranked=True, track="white-box")
    assert unknown(records(table(rows))) == {("white-box", "tim")}


def test_an_image_without_a_row_in_a_cell_leaves_it_without_a_number_there(table, pretend):
    rows = sequences_without(pretend("one").rows(), attack="fgsm", sample_id="00004", eps_255=8.0)
    found = records(table(rows))
    at = {"track": "white-box", "attack": "worst-case"}
    assert has_no_number(value(found, **at, eps_255=8.0), "no verdict on some images")
    assert value(found, **at, eps_255=4.0).value == 1.0


def test_a_required_cell_without_rows_leaves_the_worst_case_without_a_number(table, pretend, asks):
    found = records(table(pretend("one")), asks(("white-box", "fab-t", "linf", 8.0)))
    worst = value(found, track="white-box", attack="worst-case", eps_255=8.0)
    assert has_no_number(worst, "no verdict on some images")


def test_a_lost_unit_leaves_every_cell_of_its_track_without_a_number(table, pretend):
    rows = pretend("one").rows()
    lost = gap(only(rows, "adaptive")[0], "the worker process died") | {"attack": "none", "norm": "", "eps_255": None}
    kept = [one for one in rows if (one["track"], one["sample_id"]) != ("adaptive", lost["sample_id"])]
    found = records(table([*kept, lost]))
    worst = value(found, track="adaptive", attack="worst-case", eps_255=8.0)
    assert worst.reason.endswith(": the worker process died")
    assert {track for track, _ in unknown(found)} == {"adaptive", "all"}
    assert all(not one.known for one in found if one.track == "adaptive")


def test_a_gap_in_the_clean_track_leaves_none_of_its_figures_with_a_number(table, pretend):
    found = records(table(holed(pretend("one", tracks=("clean",)).rows(), "crash", sample_id="00003")))
    assert {"accuracy", "balanced_accuracy", "abstention_rate", "sensitivity_class_0"} <= {one.metric for one in found}
    assert all(has_no_number(one, "crash") for one in found)


SNOW = {"attack": "snow", "severity": 1, "sample_id": "00000"}


@pytest.fixture
def snow(table, pretend):
    """Records of an entry with a gap in one sequence."""
    rows = pretend("natural", corrupted=10, tracks=("corruption",), flip_every=2).rows()
    return records(table(holed(rows, "crash", **SNOW)))


@pytest.mark.parametrize("metric", ["flip_probability", "accuracy"])
def test_a_gap_in_a_sequence_leaves_its_perturbation_at_that_severity_without_a_number(snow, metric):
    assert has_no_number(value(snow, attack="snow", severity=1, metric=metric), "crash")
    assert value(snow, attack="snow", severity=2, metric=metric).known
    assert value(snow, attack="tilt", severity=1, metric=metric).known


def test_no_mean_over_a_gap_has_a_number(snow):
    means = [("snow", None, "flip_probability"), ("mean", 1, "mean_flip_probability")]
    for attack, severity, metric in [*means, ("mean", None, "mean_flip_probability"), ("mean", None, "accuracy")]:
        assert has_no_number(value(snow, attack=attack, severity=severity, metric=metric), "crash")
    assert value(snow, attack="mean", severity=2, metric="mean_flip_probability").known


def test_there_is_no_ratio_to_the_baseline_where_either_has_a_gap(table, pretend):
    entry = {"corrupted": 10, "tracks": ("corruption",)}
    natural = holed(pretend("natural", flip_every=2, **entry).rows(), "crash", **SNOW)
    found = records(table(natural, pretend("other", flip_every=5, **entry)))
    told = {(one.attack, one.severity) for one in found if one.metric == "relative_flip_probability"}
    assert ("snow", 2) in told
    assert not {("snow", 1), ("snow", None), ("mean", 1), ("mean", None)} & told


def test_a_sequence_that_is_missing_without_a_gap_row_is_one_too(table, pretend):
    rows = sequences_without(pretend("natural", corrupted=10, tracks=("corruption",)).rows(), **SNOW)
    found = records(table(rows))
    told = value(found, attack="snow", severity=1, metric="flip_probability")
    assert has_no_number(told, "some sequences are missing")


def test_whatever_is_a_gap_a_record_has_all_of_its_numbers_or_none_of_them(table, pretend):
    """Every row of an entry in turn stands for nothing."""
    sound = pretend("one", corrupted=1, perturbations=("snow",), severities=(1,), attacked=2).rows()
    for place in range(0, len(sound), 11):
        for one in records(table([*sound[:place], gap(sound[place], "planted"), *sound[place + 1 :]])):
            measured_once = one.track == "diagnostic"
            numbers = [math.isfinite(number) for number in (one.value, one.low, one.high)]
            assert numbers == ([one.complete, False, False] if measured_once else [one.complete] * 3), one
            assert bool(one.reason) != one.complete, one


def test_without_a_number_json_has_null_and_csv_nothing(square):
    worst = [one for one in square if (one.track, one.attack, one.eps_255) == ("all", "worst-case", 8.0)]
    (told,) = json.loads(as_json(worst))
    assert [told[name] for name in ("value", "low", "high")] == [None] * 3
    assert (told["complete"], told["reason"]) == (False, "gap in black-box square: out of memory")
    (line,) = csv.DictReader(as_csv(worst).splitlines())
    assert [line[name] for name in ("value", "low", "high")] == [""] * 3


def test_the_headline_of_an_entry_with_a_gap_is_a_record_that_says_why(square):
    assert has_no_number(headline(square, "one", "films"), "gap in black-box square: out of memory")


def test_a_missing_verdict_never_counts_as_robust(table, pretend):
    (entry,) = entries(table(holed(pretend("one").rows(), **SQUARE)))
    judged = verdicts(entry)
    scores, complete = judged.worst(judged.ranked(range(len(judged.cells))))
    assert scores.tolist() == [float(image != 2) for image in range(10)]
    assert np.flatnonzero(~complete).tolist() == [2]


def test_gap_rows_are_those_of_all_tracks_of_the_board(table, pretend):
    rows = holed(pretend("one").rows(), sample_id="00001")
    (entry,) = entries(table(rows))
    found = gap_rows(entry)
    assert set(found["track"]) == set(entry.tracks)
    assert set(found["status"]) == {"gap"}
    assert set(found["sample_id"]) == {"00001"}


def test_a_sound_entry_has_no_gap_rows(table, pretend):
    (entry,) = entries(table(pretend("one")))
    assert gap_rows(entry).empty
    assert Gaps.of(entry) == Gaps({}, {})


def test_of_several_gaps_at_one_place_the_first_reason_is_told(table, pretend):
    rows = pretend("one").rows()
    rows = holed(rows, "first", track="white-box", attack="fgsm", sample_id="00000")
    rows = holed(rows, "second", track="white-box", attack="fgsm", sample_id="00005")
    (entry,) = entries(table(rows))
    assert Gaps.of(entry).cells == {("white-box", "fgsm"): "first"}


def test_a_gap_without_a_reason_says_that_there_is_no_verdict(table, pretend):
    (entry,) = entries(table(holed(pretend("one").rows(), "", **SQUARE)))
    cells = [CellKey("white-box", "fgsm", "linf", 8.0), CellKey("black-box", "square", "linf", 8.0)]
    assert Gaps.of(entry).among(cells) == "gap in black-box square: no verdict"


GAPS = {
    "a cell": {"attack": "square", "sample_id": "00001"},
    "an unranked cell": {"attack": "tim", "sample_id": "00001"},
    "clean images": {"track": "clean", "sample_id": "00001"},
    "a sequence": {"track": "corruption", "attack": "snow", "sample_id": "00000"},
    "everything": {"status": "ok"},
}


@pytest.mark.parametrize("place", GAPS)
def test_pages_show_a_dash_that_says_why_and_no_number_that_is_none(tmp_path, project, filed, pretend, place):
    rows = pretend("natural", frames=2).rows_with_uncounted(falling=2)
    members = filed(holed(rows, "out of luck", **GAPS[place]), pretend("pgd_at", frames=2))
    site = build_site(members, project.root, tmp_path / "site").parent
    for name in ("index.html", "entries/natural.html", "published.html", "published/films.html", "claims.html"):
        assert not re.search(r"\bnan\b", (site / name).read_text(encoding="utf-8"), re.IGNORECASE), name
    own = (site / "entries" / "natural.html").read_text(encoding="utf-8")
    assert re.search(r'title="[^"]*out of luck">–<', own)


def test_no_published_number_stands_beside_a_gap(table, pretend):
    setting = Setting(load_matrix()[0])
    sound, gaps = (pretend("natural").rows(), holed(pretend("natural").rows(), track="white-box", sample_id="00001"))
    beside = {one.ours.track for one in side_by_side(records(table(sound)), setting)}
    without = {one.ours.track for one in side_by_side(records(table(gaps)), setting)}
    assert without == beside - {"white-box"}


def test_a_published_clean_accuracy_stands_beside_a_worst_case_only_where_there_is_one(table, pretend):
    setting = Setting(load_matrix()[0])
    found = records(table(holed(pretend("natural").rows(), track="black-box", sample_id="00001")))
    pairs = side_by_side(found, setting)
    assert pairs
    assert all(one.worst is None for one in pairs)
    assert all(as_plain(one)["worst_case"] is None for one in pairs)
