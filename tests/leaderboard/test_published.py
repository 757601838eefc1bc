"""Numbers that papers print: the committed table, how it is made, and ours beside it."""

import csv
from dataclasses import replace

import pytest

from benchmark.data.card import read_card
from benchmark.errors import BenchError
from benchmark.matrix import load_matrix
from benchmark.submission.manifest import read_manifest
from leaderboard.metrics import records
from leaderboard.published import Setting, alone, as_plain, experiments, read_published, side_by_side
from leaderboard.published.restate import NEEDED, restate
from leaderboard.published.table import PUBLISHED, UNITS, write_published
from leaderboard.published.vocabulary import defense, family

PRINTED = {
    ("Survey", "3", "Messidor", "binary", "natural", "none", None): 0.713,
    ("Survey", "3", "ISIC2017", "multiclass3", "natural", "fgsm", 1.0): 0.125,
    ("Survey", "8", "Messidor", "binary", "pgd_at", "pgd-20", 8.0): 0.430,
    ("Survey", "8", "Messidor", "multiclass4", "mart", "cw-linf", 8.0): 0.363,
    ("MedRDF", "XI", "COVID-19 Radiography", "multiclass3", "comdefend", "pgd-100", 8.0): 0.521,
    ("MedRDF", "III", "COVID-19 Radiography", "multiclass3", "medrdf_gaussian_mf", "pgd-7", 8.0): 0.894,
    ("MedRDF", "III", "COVID-19 Radiography", "multiclass3", "median_filter", "bim-1", 8.0): 0.352,
    ("Robust evaluation", "1", "ISIC2016 Melanoma", "binary", "natural", "gap", 7.0): 0.301,
    ("Medical Aegis", "3", "Kaggle Fundoscopy (APTOS2019)", "adversarial_detection", "aegis", "cw-l2", 7.96875): 0.923,
}
"""Typed from the papers: source, table, data set, task, defense, attack, budget -> value."""


def found(source, table, dataset, task, defense, attack, eps, metric="accuracy"):
    same = [
        one
        for one in read_published()
        if (one.source, one.table, one.dataset, one.task) == (source, table, dataset, task)
        and (one.defense, one.attack, one.eps_255, one.metric) == (defense, attack, eps, metric)
    ]
    return {one.model: one for one in same} if same else {}


@pytest.mark.parametrize("place", PRINTED, ids=lambda place: f"{place[0]} {place[1]} {place[4]} {place[5]}")
def test_spot_values_are_those_of_the_papers(place):
    metric = "auc" if place[0] == "Medical Aegis" else "accuracy"
    values = [one.value for one in found(*place, metric=metric).values()]
    assert PRINTED[place] in values


def test_every_committed_number_has_its_place_and_a_share_is_one():
    numbers = read_published()
    assert len(numbers) > 2000
    assert all(one.source and one.title and one.table and one.dataset and one.metric for one in numbers)
    assert all(0.0 <= one.value <= 1.0 for one in numbers if one.unit == "share")
    assert {one.unit for one in numbers} == set(UNITS)
    assert {one.source for one in numbers} == {"MedRDF", "Medical Aegis", "Survey", "Robust evaluation"}


def test_every_committed_defense_belongs_to_a_family_that_manifests_know():
    assert {one.family for one in read_published()} == {
        "none", "adversarial training", "pre-processing", "randomisation", "detection",
    }  # fmt: skip


def test_white_box_cells_of_the_matrix_are_named_as_the_matrix_names_them():
    matrix, _ = load_matrix()
    cells = {(cell.track, cell.name) for cell in matrix.cell} | {("white-box", "autoattack")}
    named = {(one.track, one.attack) for one in read_published()}
    for place in (("white-box", "pgd-20"), ("white-box", "bim-7"), ("black-box", "rays"), ("gray-box", "gap")):
        assert place in named & cells
    assert ("white-box", "autoattack") in named


def test_the_committed_table_says_nothing_of_the_machine_it_was_made_on():
    assert not any(sign in PUBLISHED.read_text(encoding="utf-8") for sign in ("/home", "/root", "/tmp", ".csv", ":\\"))


def test_numbers_on_normalised_input_or_training_images_are_set_aside():
    numbers = [one for one in read_published() if one.source == "Robust evaluation"]
    assert all(one.set_aside for one in numbers if one.printed_attack == "PGD")
    assert all(one.set_aside for one in numbers if "train images" in one.dataset)


def line(**changes):
    made = dict.fromkeys(NEEDED, "")
    made.update(
        source="survey_mia", table="8", dataset="ISIC2017", task="binary", model="ResNet-18", defense="TRADES",
        attack="PGD", threat_model="linf_whitebox", eps_255="8", steps="20", metric="accuracy_pct", value="41.5",
    )  # fmt: skip
    return made | changes


def tables(folder, *lines):
    folder.mkdir(exist_ok=True)
    with (folder / "one.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, NEEDED)
        writer.writeheader()
        writer.writerows(lines)
    return folder


def test_a_printed_percentage_becomes_a_share_under_our_names(tmp_path):
    (one,) = restate(tables(tmp_path / "t", line()))
    assert (one.defense, one.family, one.attack, one.track) == ("trades", "adversarial training", "pgd-20", "white-box")
    assert (one.value, one.eps_255, one.steps, one.test_images) == (0.415, 8.0, 20, 750)


@pytest.mark.parametrize(
    ("printed", "value", "metric", "unit", "kept"),
    [
        ("training_time_h", "5", "training_time", "h", 5.0),
        ("attack_time_s", "738.6", "attack_time", "s", 738.6),
        ("rfp", "2.84", "relative_flip_probability", "ratio", 2.84),
        ("mean_activation[penultimate]", "1.5", "mean_activation[penultimate]", "activation", 1.5),
        ("relative_change_pct[residual_block_1]", "481", "relative_change[residual_block_1]", "ratio", 4.81),
    ],
)
def test_what_is_no_share_keeps_its_unit(tmp_path, printed, value, metric, unit, kept):
    (one,) = restate(tables(tmp_path / "t", line(metric=printed, value=value)))
    assert (one.metric, one.unit, one.value) == (metric, unit, kept)


def test_an_unknown_unit_is_refused(tmp_path):
    write_published([replace(read_published()[0], unit="furlongs")], tmp_path / "wrong.csv")
    with pytest.raises(BenchError, match="unknown unit 'furlongs'; units are share, s, h"):
        read_published(tmp_path / "wrong.csv")


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ("not a multiple of 1/240", "no number of right answers"),
        ("evaluated on training images (X)", "training images"),
        ("printed sequence not monotone in eps; Table 13 repeats this value", "grows with the budget"),
        ("dataset inferred; differs from Table 4 (97.5)", "does not say which data set"),
    ],
)
def test_a_disqualifying_note_sets_a_number_aside(tmp_path, note, reason):
    (one,) = restate(tables(tmp_path / "t", line(note=note)))
    assert reason in one.set_aside


def test_a_harmless_note_stays_as_a_caveat_without_what_columns_say_already(tmp_path):
    (one,) = restate(tables(tmp_path / "t", line(note="steps from code;percent decrease -75.0")))
    assert (one.set_aside, one.caveat) == ("", "steps from code")


@pytest.mark.parametrize(
    ("images", "value", "said"),
    [
        (("medrdf", "DermaMNIST", "multiclass7"), "66.7", "always predicting one class would score 66.9 %"),
        (("survey_mia", "Messidor", "binary"), "52.5", "always predicting one class would score 52.5 %"),
        (("survey_mia", "Messidor", "binary"), "71.3", ""),
        (("survey_mia", "Messidor [train images]", "binary"), "52.5", ""),
    ],
)
def test_an_accuracy_of_the_commonest_classs_share_has_a_caveat(tmp_path, images, value, said):
    told = dict(zip(("source", "dataset", "task"), images, strict=True))
    (one,) = restate(tables(tmp_path / "t", line(value=value, **told)))
    assert one.caveat == said


def test_the_list_of_excluded_cells_is_no_table(tmp_path):
    folder = tables(tmp_path / "t", line())
    (folder / "excluded_cells.csv").write_text("source,table,cell\nsurvey_mia,3,x\n")
    assert len(restate(folder)) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"defense": "Shiny"}, "unknown defense 'Shiny'"),
        ({"dataset": "Moon"}, "dataset 'Moon'"),
        ({"attack": "?"}, "attack"),
    ],
)
def test_an_unknown_word_is_refused_with_its_place(tmp_path, changes, said):
    with pytest.raises(BenchError, match="line 2") as refused:
        restate(tables(tmp_path / "t", line(**changes)))
    assert said in str(refused.value)


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(BenchError, match="holds no CSV tables"):
        restate(tmp_path)


def test_what_is_written_reads_back_the_same(tmp_path):
    numbers = list(read_published()[:50])
    write_published(numbers, tmp_path / "again.csv")
    assert list(read_published(tmp_path / "again.csv")) == numbers


def test_a_value_that_is_no_share_is_refused(tmp_path):
    write_published([replace(read_published()[0], unit="share", value=41.5)], tmp_path / "wrong.csv")
    with pytest.raises(BenchError, match="no share"):
        read_published(tmp_path / "wrong.csv")


@pytest.mark.parametrize(
    ("printed", "name", "told"),
    [
        ("MedRDF(noise=salt_pepper;sigma=0.1;denoiser=median;n=1e4)", "medrdf_sp_mf", "10000 votes"),
        ("Cushion(JPEG-80)", "cushion_jpeg80", "JPEG-80"),
        ("KD+Cushion(JPEG-80)", "kd", "with Cushion(JPEG-80)"),
        ("PGD-AT(train_eps=8/255)", "pgd_at", "train eps 8/255"),
    ],
)
def test_printed_defenses_get_names_of_our_vocabulary(printed, name, told):
    given, setting = defense(printed)
    assert given == name
    assert told in setting


def test_a_defense_outside_the_vocabulary_has_no_family():
    assert family("shiny_new") == ""
    assert family("medrdf_sp_mf") == "randomisation"


@pytest.fixture
def setting(project):
    """A pretend setting with manifests of an undefended, an adversarially trained and a randomised entry."""
    for name, kind in (("natural", "none"), ("sturdy", "adversarial training"), ("odd", "other")):
        project.manifest(name, name.title(), kind)
    manifests = {name: read_manifest(project.root.submissions / name) for name in ("natural", "sturdy", "odd")}
    return Setting(load_matrix()[0], manifests, {"films": read_card(project.root.datasets / "films")})


def test_the_same_attack_at_the_same_budget_stands_beside_the_papers_number(table, pretend, setting):
    falls = {("white-box", "pgd-20", image): 8.0 for image in range(6)}
    pairs = side_by_side(records(table(pretend("natural", falls=falls, skip=False))), setting)
    (pair,) = [
        one
        for one in pairs
        if (one.published.table, one.published.dataset, one.published.task) == ("3", "Messidor", "binary")
        and (one.ours.attack, one.ours.eps_255) == ("pgd-20", 8.0)
    ]
    assert (pair.published.value, pair.ours.value) == (0.0, 0.4)
    assert pair.difference == pytest.approx(0.4)
    assert pair.worst.value == 0.4
    assert pair.same_defense
    assert pair.differs == (
        "data set Messidor (fundus photograph) there, films (chest X-ray) here",
        "image side 299 there, 32 here",
        "number of images 240 there, 10 here",
        "architecture ResNet-18 there, ResNet-18, narrow here",
        "note: steps from code",
    )


def test_experiments_on_the_entrys_own_data_set_come_first(table, pretend, setting):
    known = replace(setting, cards={})
    found = experiments(side_by_side(records(table(pretend("natural", dataset="isic2017_64"))), known))
    same = [one.theirs.dataset == "ISIC2017" for one in found]
    assert any(same)
    assert same == sorted(same, reverse=True)
    assert not all(same)


def test_a_family_stands_in_on_request_where_no_paper_prints_the_defense(table, pretend, setting):
    pairs = side_by_side(records(table(pretend("sturdy"))), setting, family=True)
    assert {pair.published.family for pair in pairs} == {"adversarial training"}
    assert not any(pair.same_defense for pair in pairs)
    assert all(pair.differs[0].startswith("another defense of the same family: ") for pair in pairs)


def test_no_family_stands_in_unasked(table, pretend, setting):
    assert side_by_side(records(table(pretend("sturdy"))), setting) == []


def test_a_family_never_stands_beside_an_entry_whose_defense_is_printed(table, pretend, setting):
    ours = records(table(pretend("natural"), pretend("pgd_at")))
    assert side_by_side(ours, setting, family=True) == side_by_side(ours, setting)


def test_a_revision_of_a_published_defense_is_found_by_the_beginning_of_its_name(table, pretend, setting):
    pairs = side_by_side(records(table(pretend("pgd_at_wide"))), setting)
    assert {pair.published.defense for pair in pairs} == {"pgd_at"}
    assert all(pair.same_defense for pair in pairs)


def test_an_entry_that_is_more_than_the_published_defense_says_what_it_is(table, pretend, setting, project):
    project.manifest("pgd_at_wide", "PGD-AT over something else", "adversarial training")
    known = replace(setting, manifests={"pgd_at_wide": read_manifest(project.root.submissions / "pgd_at_wide")})
    pairs = side_by_side(records(table(pretend("pgd_at_wide"))), known)
    assert all(pair.differs[0] == "defense here: PGD-AT over something else" for pair in pairs)
    assert pairs


def test_whether_the_attack_knew_of_the_defense_is_said_where_it_matters(table, pretend, setting):
    pairs = side_by_side(records(table(pretend("medrdf_sp_mf"))), setting)
    clauses = {clause for pair in pairs if pair.ours.track == "white-box" for clause in pair.differs}
    assert "whether the attack knew of the defense: not stated there, no here" in clauses
    plain = side_by_side(records(table(pretend("natural"))), setting)
    assert not any("knew of the defense" in clause for pair in plain for clause in pair.differs)


def test_other_steps_are_said(table, pretend, setting):
    pairs = side_by_side(records(table(pretend("medrdf_sp_mf"))), setting)
    noted = {clause for pair in pairs if pair.ours.attack == "square" for clause in pair.differs}
    assert not any(clause.startswith("queries") for clause in noted)
    sound = [replace(one, steps=5) for one in read_published() if one.defense == "natural" and one.attack == "pgd-20"]
    shorter = side_by_side(records(table(pretend("natural"))), setting, sound)
    assert all("steps 5 there, 20 here" in pair.differs for pair in shorter if pair.ours.track == "white-box")


def test_the_surveys_own_form_of_autoattack_is_said(table, pretend, setting):
    pairs = side_by_side(records(table(pretend("natural"))), setting)
    told = {
        (pair.published.source, pair.published.attack)
        for pair in pairs
        if "its AutoAttack ascends a targeted cross-entropy in place of the targeted DLR loss" in pair.differs
    }
    assert told == {("Survey", "autoattack")}


def test_iterations_of_spsa_are_not_taken_for_queries(table, pretend, setting):
    asked = [{**row, "attack": "spsa"} for row in pretend("natural", tracks=("black-box",)).rows()]
    pairs = side_by_side(records(table(asked)), setting)
    told = {clause for pair in pairs if pair.ours.attack == "spsa" for clause in pair.differs if "quer" in clause}
    assert told == {"iterations 100 there, queries 25600 here"}


def test_numbers_set_aside_are_never_put_beside_ours(table, pretend, setting):
    doubtful = [replace(one, set_aside="misprinted") for one in read_published()]
    assert side_by_side(records(table(pretend("natural"))), setting, doubtful) == []


def test_a_number_that_a_paper_repeats_in_another_table_is_shown_once(table, pretend, setting):
    one = next(one for one in read_published() if (one.defense, one.attack, one.table) == ("natural", "none", "3"))
    pairs = side_by_side(records(table(pretend("natural"))), setting, [one, replace(one, table="8")])
    assert [pair.published.table for pair in pairs] == ["3"]


def test_what_differs_in_every_line_of_an_experiment_is_said_once(table, pretend, setting):
    pairs = side_by_side(records(table(pretend("natural"))), setting)
    groups = experiments(pairs)
    assert sum(len(group.pairs) for group in groups) == len(pairs)
    for group in groups:
        for pair in group.pairs:
            assert set(group.differs) | set(group.rest(pair)) == set(pair.differs)


def why_alone(ours, setting, numbers=None, family=False):
    """The sentence of the one entry without a number beside it."""
    (told,) = alone(ours, side_by_side(ours, setting, numbers, family), setting, numbers).items()
    assert told[0] == (ours[0].submission, "films", True)
    return told[1]


def test_an_entry_that_no_paper_prints_is_told_so_and_how_to_see_its_family(table, pretend, setting):
    assert why_alone(records(table(pretend("sturdy"))), setting) == (
        "No paper in the table prints this defense; 'bench compare --published --family' shows others of its family."
    )


@pytest.mark.parametrize("asked", [False, True])
def test_an_entry_of_no_known_family_is_sent_to_the_table_whatever_was_asked_for(table, pretend, setting, asked):
    assert why_alone(records(table(pretend("odd"))), setting, family=asked) == (
        "No paper in the table prints this defense, nor another of its family at an attack and budget of these rows; "
        "published.csv lists all numbers in print."
    )


def test_a_defense_of_which_papers_print_times_alone_is_not_printed(table, pretend, setting):
    times = [replace(one, defense="sturdy") for one in read_published() if one.unit == "h"]
    assert why_alone(records(table(pretend("sturdy"))), setting, times).startswith("No paper in the table prints")


def test_an_entry_whose_numbers_are_all_set_aside_is_told_every_reason_once(table, pretend, setting):
    own = [one for one in read_published() if (one.defense, one.unit) == ("natural", "share")][:3]
    doubtful = [replace(one, set_aside=why) for one, why in zip(own, ("smudged", "misprinted", "smudged"), strict=True)]
    assert why_alone(records(table(pretend("natural"))), setting, doubtful) == (
        "Papers print this very defense, but its numbers are set aside: misprinted; smudged; "
        "published.csv lists all numbers in print."
    )


def test_an_entry_without_an_attack_in_common_with_the_papers_is_told_so(table, pretend, setting):
    attacked = [one for one in read_published() if one.defense == "natural" and one.track == "white-box"]
    strange = [replace(one, attack="laser") for one in attacked]
    assert "with other attacks or budgets" in why_alone(records(table(pretend("natural"))), setting, strange)


def test_an_entry_with_numbers_beside_it_is_not_alone(table, pretend, setting):
    ours = records(table(pretend("natural"), pretend("sturdy")))
    assert list(alone(ours, side_by_side(ours, setting), setting)) == [("sturdy", "films", True)]
    assert alone(ours, side_by_side(ours, setting, family=True), setting) == {}


def test_a_constant_predictors_accuracy_is_marked_wherever_it_stands(table, pretend, setting):
    blind = pretend("natural", wrong_clean=frozenset({0, 2, 4, 6, 8, 10}))
    for pair in side_by_side(records(table(blind)), setting):
        assert (
            "balanced accuracy 50.0 % (50.0 to 50.0); always predicting one class would score"
            in pair.background.sentence
        )
        (mark,) = as_plain(pair)["marks"]
        assert mark.startswith("Predicts '<b>ill</b>' on every image")


def test_an_honest_entrys_accuracy_stands_with_its_figures_and_no_mark(table, pretend, setting):
    ours = pretend("natural", labels=(0, 1, 1) * 4, wrong_clean=frozenset({0}))
    for pair in side_by_side(records(table(ours)), setting):
        plain = as_plain(pair)
        figures = [plain[name] for name in ("clean_accuracy", "balanced_accuracy", "majority_class_rate")]
        assert figures == pytest.approx([11 / 12, (3 / 4 + 1) / 2, 8 / 12])
        assert plain["marks"] == []


def test_figures_that_clean_rows_would_give_are_not_made_up(table, pretend, setting):
    pair = side_by_side(records(table(pretend("natural", tracks=("white-box",)))), setting)[0]
    plain = as_plain(pair)
    assert [plain[name] for name in ("clean_accuracy", "balanced_accuracy", "majority_class_rate")] == [None] * 3
    assert pair.background.sentence.endswith("run 'bench evaluate natural'.")


def test_a_pair_as_plain_values_tells_both_numbers_and_what_differs(table, pretend, setting):
    pair = side_by_side(records(table(pretend("natural"))), setting)[0]
    plain = as_plain(pair)
    assert (plain["published"], plain["ours"]) == (pair.published.value, pair.ours.value)
    assert plain["differs"] == list(pair.differs)
