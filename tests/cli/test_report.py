"""``bench report`` and ``bench site``: which rows they show, and how."""

import json

import pytest

from ..leaderboard.conftest import Pretend, holed, write

SMALL = {"frames": 2, "corrupted": 1}
BLIND = frozenset({0, 2, 4, 6, 8, 10})


@pytest.fixture
def here(board):
    """``bench`` on a board of a sound entry and one that gives one answer whatever it sees."""
    return board(Pretend("natural", **SMALL), Pretend("odd", wrong_clean=BLIND, **SMALL))


def submissions(told):
    """Who has records in a report as JSON, and whether they are official."""
    return {(one["submission"], one["official"]) for one in json.loads(told.out)}


def test_without_a_folder_the_official_rows_are_shown(here):
    assert submissions(here("report", "--json")) == {("natural", True), ("odd", True)}


def test_ones_own_rows_in_the_folder_results_are_shown_beside_them_as_unofficial(here, tmp_path):
    write(tmp_path / "here" / "results", Pretend("mine", **SMALL).rows())
    assert submissions(here("report", "--json")) == {("natural", True), ("odd", True), ("mine", False)}


def test_a_folder_that_is_named_is_shown_alone_and_as_its_rows_say(here, tmp_path):
    own = [Pretend("mine", **SMALL), Pretend("other", changes={"official": False}, **SMALL)]
    folder = write(tmp_path / "rows", [one for member in own for one in member.rows()])
    assert submissions(here("report", "--results", folder, "--json")) == {("mine", True), ("other", False)}


def test_the_site_shows_a_named_folder_beside_the_official_rows(here, tmp_path):
    folder = write(tmp_path / "rows", Pretend("mine", **SMALL).rows())
    assert here("site", "--results", folder, "--out", tmp_path / "site").code == 0
    ranked, unranked = (tmp_path / "site" / "index.html").read_text(encoding="utf-8").split('data-group="unranked"')
    assert "entries/natural.html" in ranked
    assert "entries/mine.html" in unranked
    assert "unofficial" in unranked


@pytest.mark.parametrize("command", [("report",), ("site", "--out", "made")])
def test_a_folder_that_is_not_there_is_refused(here, tmp_path, command):
    told = here(*command, "--results", tmp_path / "nowhere").sentence
    assert told.startswith(f"there is no results folder {tmp_path / 'nowhere'}; run 'bench evaluate")


def test_a_data_set_without_rows_is_refused_with_the_near_one(here):
    assert "Did you mean 'films'?" in here("report", "-d", "film").sentence


@pytest.fixture
def with_a_gap(board):
    """``bench`` on a board with an entry that has a gap in one cell, and one that has one among its clean images."""
    attacked = holed(Pretend("pgd_at", **SMALL).rows(), "out of luck", track="black-box", sample_id="00001")
    clean = holed(Pretend("hat", **SMALL).rows(), "no such image", track="clean", sample_id="00002")
    return board(Pretend("natural", **SMALL), attacked, clean)


def cells(told, name):
    """The cells of an entry's line."""
    line = next(line for line in told.out.splitlines() if f" {name} " in line)
    return line.split()


def test_a_gap_is_a_dash_where_its_number_would_stand(with_a_gap):
    told = with_a_gap("report")
    assert "nan" not in told.out
    assert "–" not in cells(told, "natural")[:3]
    rank, name, clean, robust, interval, *_, images = cells(told, "pgd_at")
    assert (rank, name, clean) == ("–", "pgd_at", "100.0")
    assert (robust, interval, images) == ("–", "–", "10")
    assert cells(told, "hat")[2] == "–"


def test_below_the_table_it_is_said_what_the_dash_stands_for_and_why_the_entry_has_no_rank(with_a_gap):
    told = with_a_gap("report").out
    assert "pgd_at is not ranked: gap in black-box square on 1 image (out of luck)" in told
    assert "gap in black-box square: out of luck" in told
    assert "no such image" in told


def test_the_clinical_report_has_dashes_too(with_a_gap):
    told = with_a_gap("report", "--clinical").out
    assert "nan" not in told
    assert "–" in told


def test_as_json_a_gap_is_null_with_its_reason(with_a_gap):
    found = json.loads(with_a_gap("report", "--json").out)
    (worst,) = [
        one
        for one in found
        if (one["submission"], one["track"], one["eps_255"], one["metric"]) == ("pgd_at", "all", 8.0, "robust_accuracy")
        and one["attack"] == "worst-case"
    ]
    assert (worst["value"], worst["low"], worst["high"], worst["complete"]) == (None, None, None, False)
    assert worst["reason"] == "gap in black-box square: out of luck"


def test_an_official_entry_without_diagnostics_is_not_ranked_and_the_report_says_what_to_run(board):
    rows = [one for one in Pretend("natural", **SMALL).rows() if one["track"] != "diagnostic"]
    told = board(rows)("report").out
    assert "natural is not ranked: the diagnostics of its gradient have not been run (bench evaluate runs them" in told


def test_an_entry_whose_gradient_misleads_attacks_is_not_ranked_and_the_report_says_why(board):
    told = board(Pretend("natural", kept=4, **SMALL))("report").out
    assert "natural is not ranked: attacks with its gradient leave 40.0 % at 128/255" in told


def test_the_clinical_report_has_figures_per_class_clean_and_under_the_worst_case(here):
    told = here("report", "--clinical")
    assert told.code == 0, told.err
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in told.out.splitlines() if "│" in line]
    (clean,) = [line for line in lines if line[:2] == ["odd", "clean"]]
    assert clean[-2] == "0.0 / 100.0"
    assert clean[-1] == "100.0 / 0.0"
    assert all(cell != "–" for cell in clean)
    attacked = lines[lines.index(clean) + 1]
    assert attacked[:2] == ["", "worst case"]
    assert "bench report --clinical" in here("report").out


def test_the_report_prints_the_constant_answer_beside_accuracy_and_marks_constant_predictors(here):
    told = here("report")
    assert told.code == 0, told.err
    assert "a constant prediction scores 50.0 clean" in " ".join(told.out.split())
    assert "odd: predicts 'class 1' on every image" in told.out
    plain = json.loads(here("report", "--json").out)
    assert {"specificity_class_1", "calibration_error", "majority_class_rate"} <= {one["metric"] for one in plain}


@pytest.mark.parametrize("command", [("report",), ("compare", "natural", "odd"), ("site", "--out", "made")])
def test_a_wrong_card_of_a_data_set_without_rows_stops_no_command(here, tmp_path, command):
    broken = tmp_path / "board" / "datasets" / "half_done"
    broken.mkdir()
    (broken / "dataset.toml").write_text('name = "half_done"\ntask = "multilabel"\n', encoding="utf-8")
    told = here(*command)
    assert told.code == 0
    assert ("half_done" in told.out) == (command[0] == "site")
