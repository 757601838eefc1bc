"""``bench compare``: two entries side by side, and entries beside what papers print."""

import json

import pytest

from ..leaderboard.conftest import Pretend, holed, write

SMALL = {"frames": 2, "corrupted": 1}


@pytest.fixture
def here(board):
    """``bench`` on a board of three pretend entries, one of them of no published defense."""
    falls = {("white-box", "pgd-20", image): 8.0 for image in range(5)}
    blind = frozenset({0, 2, 4, 6, 8, 10})
    return board(
        Pretend("natural", falls=falls, **SMALL), Pretend("pgd_at", **SMALL), Pretend("odd", wrong_clean=blind, **SMALL)
    )


def test_two_entries_stand_side_by_side(here):
    told = here("compare", "natural", "pgd_at", "--json")
    pairs = json.loads(told.out)
    place = ("all", "worst-case", 8.0, "robust_accuracy")
    (pair,) = [
        one
        for one in pairs
        if tuple(one["natural"][name] for name in ("track", "attack", "eps_255", "metric")) == place
    ]
    assert (pair["natural"]["value"], pair["pgd_at"]["value"]) == (0.5, 1.0)


def test_the_paired_difference_says_what_can_be_concluded(here):
    out = here("compare", "natural", "pgd_at").out
    assert "natural minus pgd_at on the same images" in out
    pairs = json.loads(here("compare", "natural", "pgd_at", "--json").out)
    paired = {one["paired"]["track"]: one["paired"] for one in pairs if "paired" in one}
    assert (paired["all"]["first"], paired["all"]["second"], paired["all"]["verdict"]) == (0.5, 1.0, "lower")
    assert paired["clean"]["verdict"] == "no significant difference"


def test_one_name_is_not_enough_for_two_entries(here):
    assert here("compare", "natural").sentence == (
        "bench compare takes two submissions, with --published any number of them, with --claims none."
    )


def test_claims_are_held_against_the_rows(here):
    told = here("compare", "--claims")
    assert "pgd_at above natural" in told.out
    assert "confirmed: 100.0 and 50.0, +50.0 (" in told.out
    (claim,) = json.loads(here("compare", "--claims", "--json").out)
    assert (claim["higher"], claim["lower"], claim["dataset"]) == ("pgd_at", "natural", "films")
    assert claim["verdicts"] == {"white-box": "confirmed", "all": "confirmed"}
    assert claim["differences"]["all"]["second"] == 0.5


def test_claims_take_no_submissions(here):
    assert "takes no submissions" in here("compare", "--claims", "natural").sentence


def test_published_numbers_stand_beside_the_entrys(here):
    told = here("compare", "--published", "pgd_at")
    assert told.code == 0
    heading, background, experiment = told.out.splitlines()[:3]
    assert heading == "pgd_at on films"
    assert background.startswith("  Clean accuracy 100.0 % (at least 75.0), balanced accuracy 100.0 %")
    assert background.endswith("; always predicting one class would score 50.0 %.")
    assert experiment.startswith("  beside Survey (2024), pgd_at on ")
    assert "  beside Survey (2024), pgd_at on ISIC2017, ResNet-18" in told.out
    assert "white-box, pgd-20, 8/255, accuracy: published 35.1% (Table 8), ours 100.0% (100.0% – 100.0%)" in told.out
    assert "number of images 750 there, 10 here" in told.out


def test_a_constant_predictor_is_marked_under_its_name_once(board):
    here = board(Pretend("natural", wrong_clean=frozenset({0, 2, 4, 6, 8, 10}), **SMALL))
    out = here("compare", "--published").out
    told = out.splitlines()[1]
    assert "always predicting one class would score 50.0 %. Predicts 'class 1' on every image" in told
    assert out.count("Clean accuracy") == 1


def test_without_names_every_entry_is_compared(here):
    pairs = json.loads(here("compare", "--published", "--json").out)
    assert {pair["submission"] for pair in pairs} == {"natural", "pgd_at"}
    assert all(pair["differs"] for pair in pairs)


def test_a_data_set_can_be_chosen_and_a_wrong_one_is_refused(here):
    pairs = json.loads(here("compare", "--published", "-d", "films", "--json").out)
    assert {pair["dataset"] for pair in pairs} == {"films"}
    assert "Did you mean 'films'?" in here("compare", "--published", "-d", "film").sentence


def test_nothing_to_compare_is_one_sentence_and_no_error(here):
    told = here("compare", "--published", "odd")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines() == [
        "odd on films: No paper in the table prints this defense, nor another of its family at an attack and budget of "
        "these rows; published.csv lists all numbers in print."
    ]
    assert json.loads(here("compare", "--published", "odd", "--json").out) == []


@pytest.fixture
def unprinted(board, tmp_path):
    """``bench`` on a board with an entry whose defense no paper prints, and own rows of it on a further data set."""
    write(tmp_path / "own", Pretend("hgd", dataset="own", **SMALL).rows())
    here = board(Pretend("hgd", **SMALL), Pretend("hgd", dataset="more", **SMALL))
    return lambda *arguments: here(*arguments, "--results", tmp_path / "own")


def test_an_entry_that_no_paper_prints_has_a_sentence_for_all_its_data_sets(unprinted):
    why = "No paper in the table prints this defense; 'bench compare --published --family' shows others of its family."
    assert unprinted("compare", "--published").out.splitlines() == [
        f"hgd on films, more: {why}",
        f"hgd (unofficial) on own: {why}",
    ]
    assert json.loads(unprinted("compare", "--published", "--json").out) == []


def test_others_of_the_family_stand_in_on_request(unprinted):
    out = unprinted("compare", "--published", "hgd", "--family").out
    assert "another defense of the same family: comdefend" in out
    assert "No paper in the table" not in out
    pairs = json.loads(unprinted("compare", "--published", "--family", "--json").out)
    assert {pair["same_defense"] for pair in pairs} == {False}


@pytest.mark.parametrize("arguments", [("hgd", "hgd"), ("--claims",)])
def test_a_family_without_published_numbers_is_refused(here, arguments):
    assert here("compare", *arguments, "--family").sentence == (
        "bench compare --family needs --published: it adds to it other defenses of an entry's family."
    )


def test_without_any_rows_published_numbers_stand_beside_nothing(board):
    told = board()("compare", "--published")
    assert (told.code, told.out) == (0, "no rows yet; run 'bench evaluate'.\n")


def test_an_unknown_submission_is_refused_with_the_near_one(here):
    assert "Did you mean 'pgd_at'?" in here("compare", "--published", "pgdat").sentence


def test_ones_own_rows_stand_beside_the_official_ones_and_count_as_unofficial(here, tmp_path):
    own = write(tmp_path / "own", Pretend("mine", wrong_clean=frozenset({0, 1, 2}), **SMALL).rows())
    pairs = json.loads(here("compare", "mine", "natural", "--results", own, "--json").out)
    clean = next(one for one in pairs if one["mine"]["metric"] == "accuracy")
    assert (clean["mine"]["value"], clean["mine"]["official"]) == (0.75, False)
    assert (clean["natural"]["value"], clean["natural"]["official"]) == (1.0, True)


def test_a_results_folder_that_is_not_there_is_refused(here, tmp_path):
    told = here("compare", "natural", "pgd_at", "--results", tmp_path / "nowhere").sentence
    assert told.startswith(f"there is no results folder {tmp_path / 'nowhere'}; run 'bench evaluate --results")


@pytest.fixture
def with_a_gap(board):
    """``bench`` on a board of a sound entry and one with a gap in one cell."""
    rows = holed(Pretend("pgd_at", **SMALL).rows(), "out of luck", track="black-box", sample_id="00001")
    return board(Pretend("natural", **SMALL), rows)


def test_a_gap_has_no_number_no_difference_and_no_verdict(with_a_gap):
    pairs = json.loads(with_a_gap("compare", "natural", "pgd_at", "--json").out)
    (worst,) = [one for one in pairs if (one["pgd_at"]["track"], one["pgd_at"]["eps_255"]) == ("all", 8.0)]
    assert worst["pgd_at"]["value"] is None
    assert worst["pgd_at"]["reason"] == "gap in black-box square: out of luck"
    assert worst["natural"]["value"] == 1.0
    assert "paired" not in worst
    verdicts = {one["paired"]["track"] for one in pairs if "paired" in one}
    assert verdicts == {"clean", "no-box", "gray-box", "white-box", "adaptive"}


def test_a_gap_is_printed_as_a_dash_and_its_reason_below(with_a_gap):
    told = with_a_gap("compare", "natural", "pgd_at", "--all").out
    assert "nan" not in told
    assert "gap in black-box square: out of luck" in told
    line = next(line for line in told.splitlines() if "all" in line and "8/255" in line and "robust_accuracy" in line)
    assert [cell.strip() for cell in line.strip("│").split("│")][-3:] == ["1.000", "–", "–"]


def test_an_official_gap_is_held_against_no_claim(with_a_gap):
    (claim,) = json.loads(with_a_gap("compare", "--claims", "--json").out)
    assert claim["verdicts"] == {"white-box": "no significant difference"}
