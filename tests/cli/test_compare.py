"""``bench compare``: two entries side by side, and entries beside what papers print."""

import importlib.util
import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def pretend():
    """The pretend entries that the tests of the leaderboard use."""
    path = Path(__file__).resolve().parents[1] / "leaderboard" / "conftest.py"
    spec = importlib.util.spec_from_file_location("pretend_entries", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def results(tmp_path, pretend):
    """Rows of three pretend entries, one of them of no published defense."""
    falls = {("white-box", "pgd-20", image): 8.0 for image in range(5)}
    members = (
        pretend.Pretend("natural", falls=falls, frames=2),
        pretend.Pretend("pgd_at", frames=2),
        pretend.Pretend("odd", frames=2, wrong_clean=frozenset({0, 2, 4, 6, 8, 10})),
    )
    return pretend.write(tmp_path / "rows", [one for member in members for one in member.rows()])


def test_two_entries_stand_side_by_side(bench, results):
    told = bench("compare", "natural", "pgd_at", "--results", results, "--json")
    pairs = json.loads(told.out)
    place = ("all", "worst-case", 8.0, "robust_accuracy")
    (pair,) = [
        one
        for one in pairs
        if tuple(one["natural"][name] for name in ("track", "attack", "eps_255", "metric")) == place
    ]
    assert (pair["natural"]["value"], pair["pgd_at"]["value"]) == (0.5, 1.0)


def test_the_paired_difference_says_what_can_be_concluded(bench, results):
    out = bench("compare", "natural", "pgd_at", "--results", results).out
    assert "natural less pgd_at on the same images" in out
    pairs = json.loads(bench("compare", "natural", "pgd_at", "--results", results, "--json").out)
    paired = {one["paired"]["track"]: one["paired"] for one in pairs if "paired" in one}
    assert (paired["all"]["first"], paired["all"]["second"], paired["all"]["verdict"]) == (0.5, 1.0, "lower")
    assert paired["clean"]["verdict"] == "not told apart"


def test_one_name_is_not_enough_for_two_entries(bench, results):
    assert bench("compare", "natural", "--results", results).sentence == (
        "bench compare takes two submissions, with --published any number of them, with --claims none."
    )


def test_claims_are_held_against_the_rows(bench, results):
    told = bench("compare", "--claims", "--results", results)
    assert "pgd_at above natural" in told.out
    assert "confirmed: 100.0 and 50.0, +50.0 (" in told.out
    (claim,) = json.loads(bench("compare", "--claims", "--results", results, "--json").out)
    assert (claim["higher"], claim["lower"], claim["dataset"]) == ("pgd_at", "natural", "films")
    assert claim["verdicts"] == {"white-box": "confirmed", "all": "confirmed"}
    assert claim["differences"]["all"]["second"] == 0.5


def test_claims_take_no_submissions(bench, results):
    assert "takes no submissions" in bench("compare", "--claims", "natural", "--results", results).sentence


def test_published_numbers_stand_beside_the_entrys(bench, results):
    told = bench("compare", "--published", "pgd_at", "--results", results)
    assert told.code == 0
    heading, background, experiment = told.out.splitlines()[:3]
    assert heading == "pgd_at on films"
    assert background.startswith("  Clean accuracy 100.0 % (100.0 to 100.0), balanced accuracy 100.0 %")
    assert background.endswith("; one answer for all would score 50.0 %.")
    assert experiment.startswith("  beside Survey (2024), pgd_at on ")
    assert "  beside Survey (2024), pgd_at on ISIC2017, ResNet-18" in told.out
    assert "white-box, pgd-20, 8/255, accuracy: published 35.1% (Table 8), ours 100.0% (100.0% – 100.0%)" in told.out
    assert "number of images 750 there, 10 here" in told.out


def test_a_constant_predictor_is_marked_under_its_name_once(bench, tmp_path, pretend):
    blind = pretend.Pretend("natural", frames=2, wrong_clean=frozenset({0, 2, 4, 6, 8, 10}))
    rows = pretend.write(tmp_path / "blind", blind.rows())
    out = bench("compare", "--published", "--results", rows).out
    assert "one answer for all would score 50.0 %. Answers 'class 1' to every image" in out.splitlines()[1]
    assert out.count("Clean accuracy") == 1


def test_without_names_every_entry_is_compared(bench, results):
    pairs = json.loads(bench("compare", "--published", "--results", results, "--json").out)
    assert {pair["submission"] for pair in pairs} == {"natural", "pgd_at"}
    assert all(pair["differs"] for pair in pairs)


def test_a_data_set_can_be_chosen_and_a_wrong_one_is_refused(bench, results):
    pairs = json.loads(bench("compare", "--published", "-d", "films", "--results", results, "--json").out)
    assert {pair["dataset"] for pair in pairs} == {"films"}
    assert "Did you mean 'films'?" in bench("compare", "--published", "-d", "film", "--results", results).sentence


def test_nothing_to_compare_is_one_sentence_and_no_error(bench, results):
    told = bench("compare", "--published", "odd", "--results", results)
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines() == [
        "odd on films: No paper in the table prints this defense, nor another of its family at an attack and budget of "
        "these rows; published.csv lists all numbers in print."
    ]
    assert json.loads(bench("compare", "--published", "odd", "--results", results, "--json").out) == []


@pytest.fixture
def unprinted(tmp_path, pretend):
    """Rows of a shipped entry whose defense no paper prints, official and unofficial, on two data sets."""
    members = (
        pretend.Pretend("hgd", frames=2),
        pretend.Pretend("hgd", dataset="more", frames=2),
        pretend.Pretend("hgd", dataset="own", frames=2, changes={"official": False}),
    )
    return pretend.write(tmp_path / "unprinted", [one for member in members for one in member.rows()])


def test_an_entry_that_no_paper_prints_has_a_sentence_for_all_its_data_sets(bench, unprinted):
    why = "No paper in the table prints this defense; 'bench compare --published --family' shows others of its family."
    assert bench("compare", "--published", "--results", unprinted).out.splitlines() == [
        f"hgd on films, more: {why}",
        f"hgd (unofficial) on own: {why}",
    ]
    assert json.loads(bench("compare", "--published", "--results", unprinted, "--json").out) == []


def test_others_of_the_family_stand_in_on_request(bench, unprinted):
    out = bench("compare", "--published", "hgd", "--family", "--results", unprinted).out
    assert "another defense of the same family: comdefend" in out
    assert "No paper in the table" not in out
    pairs = json.loads(bench("compare", "--published", "--family", "--results", unprinted, "--json").out)
    assert {pair["same_defense"] for pair in pairs} == {False}


@pytest.mark.parametrize("arguments", [("hgd", "hgd"), ("--claims",)])
def test_a_family_without_published_numbers_is_refused(bench, results, arguments):
    assert bench("compare", *arguments, "--family", "--results", results).sentence == (
        "bench compare --family needs --published: it adds to it other defenses of an entry's family."
    )


def test_without_any_rows_published_numbers_stand_beside_nothing(bench, tmp_path):
    (tmp_path / "empty").mkdir()
    told = bench("compare", "--published", "--results", tmp_path / "empty")
    assert (told.code, told.out) == (0, "no rows yet; run 'bench evaluate'.\n")


def test_an_unknown_submission_is_refused_with_the_near_one(bench, results):
    assert "Did you mean 'pgd_at'?" in bench("compare", "--published", "pgdat", "--results", results).sentence


def test_the_clinical_report_has_figures_per_class_clean_and_under_the_worst_case(bench, results):
    told = bench("report", "--clinical", "--results", results)
    assert told.code == 0, told.err
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in told.out.splitlines() if "│" in line]
    (clean,) = [line for line in lines if line[:2] == ["odd", "clean"]]
    assert clean[-2] == "0.0 / 100.0"
    assert clean[-1] == "100.0 / 0.0"
    assert all(cell != "–" for cell in clean)
    attacked = lines[lines.index(clean) + 1]
    assert attacked[:2] == ["", "worst case"]
    assert "bench report --clinical" in bench("report", "--results", results).out


def test_the_report_prints_the_constant_answer_beside_accuracy_and_marks_constant_predictors(bench, results):
    told = bench("report", "--results", results)
    assert told.code == 0, told.err
    assert "majority" in told.out
    assert "odd: Answers 'class 1' to every image" in told.out
    plain = json.loads(bench("report", "--results", results, "--json").out)
    assert {"specificity_class_1", "calibration_error", "majority_class_rate"} <= {one["metric"] for one in plain}
