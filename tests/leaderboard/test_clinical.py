"""Clinical figures worked out by hand, held against scikit-learn, and sentences about constant predictors."""

import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, recall_score

from leaderboard.bootstrap import Bootstrap
from leaderboard.clinical import BINS, Answers, calibration_error, class_metrics
from leaderboard.constant import hollow, marks
from leaderboard.metrics import records
from leaderboard.record import Record, as_json
from leaderboard.site import build_site
from leaderboard.site.clinicalpage import _lowest

NAMES = ("healthy", "ill")


def figures(labels, given, share=None):
    """Metric -> (value, low, high, n) of answers, right where they equal the label unless shares are given."""
    labels, given = np.asarray(labels, float), np.asarray(given, float)
    right = (labels == given).astype(float) if share is None else np.asarray(share, float)
    found = {}
    resamples = Bootstrap([str(image) for image in range(len(labels))])
    class_metrics(Answers(labels, right, given), resamples, lambda name, *rest: found.__setitem__(name, rest))
    return found


def calibration(probabilities, labels, given):
    """(value, low, high, n) of the calibration error; None where there is no answer."""
    labels, given = np.asarray(labels, float), np.asarray(given, float)
    answers = Answers(labels, (labels == given).astype(float), given)
    found = []
    resamples = Bootstrap([str(image) for image in range(len(labels))])
    calibration_error(np.asarray(probabilities, float), answers, resamples, lambda _, *rest: found.append(rest))
    return found[0] if found else None


def test_sensitivity_and_specificity_of_three_classes_by_hand():
    found = figures([0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 2, 2, 2])
    assert [found[f"sensitivity_class_{c}"][0] for c in range(3)] == [3 / 4, 1 / 2, 1.0]
    assert [found[f"specificity_class_{c}"][0] for c in range(3)] == [1.0, 5 / 6, 5 / 6]
    assert [found[f"answer_share_class_{c}"][0] for c in range(3)] == [3 / 8, 2 / 8, 3 / 8]
    assert found["balanced_accuracy"][0] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert found["majority_class_rate"][0] == 1 / 2
    assert [found[f"specificity_class_{c}"][3] for c in range(3)] == [4, 6, 6]


def test_an_abstention_lowers_sensitivity_and_specificity_and_is_nobodys_answer():
    found = figures([0, 0, 1, 1], [0, -1, 1, 1])
    assert found["sensitivity_class_0"][0] == 0.5
    assert found["specificity_class_1"][0] == 0.5
    assert found["specificity_class_0"][0] == 1.0
    assert found["answer_share_class_0"][0] == 0.25


def test_an_image_without_a_verdict_counts_as_an_abstention_does():
    assert figures([0, 0, 1, 1], [0, np.nan, 1, 1]) == figures([0, 0, 1, 1], [0, -1, 1, 1])


def test_for_two_classes_the_specificity_of_one_is_the_sensitivity_of_the_other_of_repeated_draws_too():
    found = figures([0, 0, 1, 1], [0, 1, 1, 1], share=[0.8, 0.2, 1.0, 0.6])
    assert found["sensitivity_class_0"][0] == found["specificity_class_1"][0] == pytest.approx(0.5)
    assert found["sensitivity_class_1"][0] == found["specificity_class_0"][0] == pytest.approx(0.8)


def test_wrong_draws_whose_answer_is_unknown_clear_no_other_class():
    """Of three classes: the first draw was right, half of the later ones wrong, and nobody knows how."""
    found = figures([0, 1, 2], [0, 1, 2], share=[0.5, 1.0, 1.0])
    assert found["specificity_class_1"][0] == found["specificity_class_2"][0] == 0.75


def test_a_class_that_no_image_shows_has_no_sensitivity_but_a_specificity():
    found = figures([0, 0, 1, 1], [0, 2, 1, 1])
    assert "sensitivity_class_2" not in found
    assert found["specificity_class_2"][0] == 0.75
    assert found["balanced_accuracy"][0] == 0.75


def test_figures_agree_with_scikit_learn():
    generator = np.random.default_rng(5)
    labels, given = generator.integers(0, 4, 300), generator.integers(0, 4, 300)
    found = figures(labels, given)
    assert found["balanced_accuracy"][0] == pytest.approx(balanced_accuracy_score(labels, given))
    for label in range(4):
        assert found[f"sensitivity_class_{label}"][0] == pytest.approx(recall_score(labels == label, given == label))
        assert found[f"specificity_class_{label}"][0] == pytest.approx(recall_score(labels != label, given != label))


def test_every_figure_lies_inside_its_interval():
    generator = np.random.default_rng(6)
    labels = generator.integers(0, 3, 120)
    given = np.where(generator.random(120) < 0.6, labels, generator.integers(0, 3, 120))
    for metric, (value, low, high, _) in figures(labels, given).items():
        assert 0.0 <= low <= value <= high <= 1.0, metric


def test_the_calibration_error_by_hand():
    """Two images answered at 0.9, one of them wrong: |0.5 - 0.9|. Two at 0.6, both right: |1 - 0.6|."""
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]
    value, _, _, n = calibration(probabilities, [0, 1, 1, 1], [0, 0, 1, 1])
    assert (value, n) == (pytest.approx(0.5 * 0.4 + 0.5 * 0.4), 4)


def test_sure_and_right_answers_have_no_calibration_error():
    assert calibration([[1.0, 0.0], [0.0, 1.0]], [0, 1], [0, 1])[:3] == (0.0, 0.0, 0.0)


def test_the_calibration_error_leaves_abstentions_out():
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.5, 0.5]]
    with_one = calibration(probabilities, [0, 0, 1], [0, 0, -1])
    assert with_one[0] == pytest.approx(0.1)
    assert with_one[3] == 2
    assert calibration(probabilities, [0, 0, 1], [-1, -1, -1]) is None


def test_the_calibration_error_agrees_with_scikit_learns_reliability_curve():
    generator = np.random.default_rng(7)
    probabilities = generator.dirichlet((1, 1, 1), 400)
    given = probabilities.argmax(1)
    labels = np.where(generator.random(400) < 0.5, given, generator.integers(0, 3, 400))
    confidence, right = probabilities.max(1), labels == given
    share_right, mean_confidence = calibration_curve(right, confidence, n_bins=BINS)
    counts = np.histogram(confidence, bins=np.linspace(0, 1, BINS + 1))[0]
    theirs = (counts[counts > 0] / 400 * np.abs(share_right - mean_confidence)).sum()
    assert calibration(probabilities, labels, given)[0] == pytest.approx(theirs)


def test_abstained_images_stay_in_the_auc(table, pretend):
    rows = pretend("natural", tracks=("clean",), wrong_clean=frozenset({2})).rows()
    before = {one.metric: one.value for one in records(table(rows))}
    rows[3].update(pred=-1, abstained=True, correct=False, right_draws=0)
    after = {one.metric: one.value for one in records(table(rows))}
    assert after["auc"] == before["auc"]
    assert after["accuracy"] < before["accuracy"]
    assert after["sensitivity_class_1"] < before["sensitivity_class_1"]


def clean_of(found):
    return {one.metric: one for one in found if one.track == "clean"}


def worst_of(found):
    return {one.metric: one for one in found if (one.track, one.attack, one.eps_255) == ("all", "worst-case", 8.0)}


def test_every_entry_has_its_figures_clean_and_under_the_worst_case(table, pretend):
    """Ten images attacked, five of each class; three of class 1 fall: sensitivities 1 and 0.4."""
    falls = {("white-box", "pgd-20", image): 8.0 for image in (1, 3, 5)}
    found = records(table(pretend("natural", falls=falls)))
    assert {"specificity_class_0", "specificity_class_1", "calibration_error", "auc"} <= set(clean_of(found))
    worst = worst_of(found)
    assert worst["robust_accuracy"].value == pytest.approx(0.7)
    assert worst["sensitivity_class_0"].value == 1.0
    assert worst["sensitivity_class_1"].value == worst["specificity_class_0"].value == pytest.approx(0.4)
    assert worst["balanced_accuracy"].value == pytest.approx(0.7)
    assert worst["answer_share_class_0"].value == pytest.approx(0.8)
    assert worst["majority_class_rate"].value == 0.5


def test_the_pretend_probabilities_give_the_calibration_error_by_hand(table, pretend):
    """Eleven of twelve right, each at confidence 0.8."""
    found = clean_of(records(table(pretend("natural", tracks=("clean",), wrong_clean=frozenset({0})))))
    assert found["calibration_error"].value == pytest.approx(11 / 12 - 0.8, abs=1e-6)


def test_under_the_worst_case_an_image_that_is_wrong_when_clean_keeps_that_answer(table, pretend):
    rows = pretend("natural", labels=(0, 1, 2) * 4, wrong_clean=frozenset({2}), skip=False).rows()
    for one in rows:
        if one["sample_id"] == "00002":
            one.update(pred=0 if one["track"] == "clean" else 1)
    worst = worst_of(records(table(rows)))
    assert worst["answer_share_class_0"].value == pytest.approx(5 / 10)
    assert worst["answer_share_class_1"].value == pytest.approx(3 / 10)


def test_the_worst_case_answers_as_the_cell_with_the_fewest_right_draws_does(table, pretend):
    rows = pretend("vote", labels=(0, 1, 2) * 4, skip=False).rows()
    for one in rows:
        one.update(draws=4, right_draws=4)
        if (one["track"], one["sample_id"], one["eps_255"]) == ("adaptive", "00000", 8.0):
            if one["attack"] == "pgd-20":
                one.update(right_draws=1, correct=False, pred=1)
            if one["attack"] == "square":
                one.update(right_draws=0, correct=False, pred=2)
    worst = worst_of(records(table(rows)))
    assert worst["answer_share_class_2"].value == pytest.approx(4 / 10)
    assert worst["answer_share_class_1"].value == pytest.approx(3 / 10)


def test_abstentions_under_the_worst_case_are_counted_and_are_no_classs_answer(table, pretend):
    rows = pretend("vote", skip=False).rows()
    for one in rows:
        if (one["track"], one["sample_id"], one["eps_255"]) == ("white-box", "00000", 8.0):
            one.update(right_draws=0, correct=False, pred=-1, abstained=True)
    worst = worst_of(records(table(rows)))
    assert worst["abstention_rate"].value == pytest.approx(1 / 10)
    assert worst["answer_share_class_0"].value == pytest.approx(4 / 10)
    assert worst["answer_share_class_1"].value == pytest.approx(5 / 10)


def test_a_missing_track_leaves_the_worst_case_without_figures(table, pretend):
    found = records(table(pretend("natural", tracks=("clean", "corruption", "white-box"))))
    assert worst_of(found) == {}


def test_figures_are_the_same_in_every_order_of_rows(table, pretend):
    falls = {("white-box", "pgd-20", i): 8.0 for i in range(4)} | {("adaptive", "square", i): 8.0 for i in range(6)}
    rows = table(pretend("natural", labels=(0, 1, 2) * 4, falls=falls, skip=False))
    assert records(rows) == records(rows.sample(frac=1.0, random_state=1).reset_index(drop=True))


def constant(pretend, answer=1, labels=(0, 1, 1) * 20, **more):
    """An entry that gives one answer whatever it sees."""
    wrong = frozenset(image for image, label in enumerate(labels) if label != answer)
    return pretend("same", labels=labels, attacked=len(labels), wrong_clean=wrong, **more)


def test_a_constant_predictor_is_marked_once_when_the_worst_case_is_the_same(table, pretend):
    sentences = marks(records(table(constant(pretend))), NAMES)
    assert sentences == (
        "Predicts 'ill' on every image, and is no better, within noise, than a constant prediction: "
        "balanced accuracy 50.0 % (50.0 to 50.0) beside 50.0 %, accuracy 66.7 % (55.0 to 78.3) beside 66.7 %.",
    )


def test_a_nearly_constant_predictor_is_told_with_its_share(table, pretend):
    rows = constant(pretend, labels=(0, 1, 1) * 40, tracks=("clean",)).rows()
    rows[0].update(pred=0, correct=True, right_draws=1)
    (sentence,) = marks(records(table(rows)), NAMES)
    assert sentence.startswith("Predicts 'ill' on 99 % of images, and is no better, within noise, than a constant")


def test_a_class_that_is_never_answered_is_named_with_its_images(table, pretend):
    rows = pretend("natural", labels=(0, 1, 2) * 20, tracks=("clean",)).rows()
    for one in rows:
        if one["label"] == 2:
            one.update(pred=0, correct=False, right_draws=0)
    (sentence,) = marks(records(table(rows)), ("a", "b", "lost_one"))
    assert sentence == "Never predicts 'lost one', the true class of 20 of 60 images."


def test_a_class_too_rare_to_tell_is_not_held_against_a_model(table, pretend):
    rows = pretend("natural", labels=(0, 1) * 20 + (2, 2), tracks=("clean",)).rows()
    for one in rows:
        if one["label"] == 2:
            one.update(pred=0, correct=False, right_draws=0)
    assert marks(records(table(rows)), NAMES) == ()


def test_robustness_by_one_answer_for_all_is_hollow_and_a_defeat_is_not(table, pretend):
    labels = (0, 1, 1) * 20
    broken = {("white-box", "pgd-20", image): 8.0 for image in range(len(labels))}
    defeated = pretend("fell", labels=labels, attacked=len(labels), falls=broken)
    assert "Under the worst case" in marks(records(table(defeated)), NAMES)[0]
    assert not hollow(records(table(defeated)))
    assert hollow(records(table(constant(pretend))))


def sensitivity(value):
    """A class's sensitivity with a narrow interval."""
    return Record("natural", "films", "clean", "none", "", None, None, "sensitivity", value, value, value, 9, True)


def found_in(pretend, right, of=60):
    """An entry with three classes that answers ``right`` of the last one's ``of`` images rightly."""
    rows = pretend("natural", labels=(0, 1) * 60 + (2,) * of, tracks=("clean",)).rows()
    for one in [one for one in rows if one["label"] == 2][right:]:
        one.update(pred=0, correct=False, right_draws=0)
    return rows


def test_a_class_found_less_often_than_by_chance_is_marked_with_its_interval(table, pretend):
    (sentence,) = marks(records(table(found_in(pretend, 6))), ("a", "b", "mela_noma"))
    assert re.fullmatch(
        r"Is right less often than chance \(33\.3 %\) on 'mela noma', 10\.0 % \(\d+\.\d to \d+\.\d\) of 60 images\.",
        sentence,
    )


def test_a_class_whose_interval_reaches_chance_is_not_marked(table, pretend):
    assert marks(records(table(found_in(pretend, 15))), NAMES) == ()


def test_a_class_of_few_images_is_not_called_rarely_found(table, pretend):
    """None right of nine: the bootstrap's interval has no width, the rule of three reaches a third."""
    rows = found_in(pretend, 0, of=9)
    rows[0].update(pred=2, correct=False, right_draws=0)
    assert marks(records(table(rows)), NAMES) == ()


def test_a_class_that_is_answered_for_others_but_never_rightly_counts_as_rarely_found(table, pretend):
    rows = found_in(pretend, 0)
    rows[0].update(pred=2, correct=False, right_draws=0)
    (sentence,) = marks(records(table(rows)), NAMES)
    assert sentence == "Is right less often than chance (33.3 %) on 'class 2', 0.0 % (at most 5.0) of 60 images."


def test_a_class_that_only_attacks_push_below_chance_is_not_called_rarely_found(table, pretend):
    labels = (0, 1) * 30
    falls = {("white-box", "pgd-20", image): 8.0 for image in range(0, 50, 2)}
    assert marks(records(table(pretend("natural", labels=labels, attacked=60, falls=falls))), NAMES) == ()


@pytest.mark.parametrize(
    ("values", "named"),
    [((0.5, 0.2, 0.9), "b"), ((0.2, 0.5, 0.2), "a, c"), ((0.0, 0.0, 0.0), "all classes"), ((0.4,), "a")],
)
def test_the_lowest_sensitivity_names_every_class_that_shares_it(values, named):
    lines = [(name, sensitivity(value)) for name, value in zip("abc", values, strict=False)]
    assert _lowest(lines)[0] == named


def test_classes_that_share_the_lowest_sensitivity_show_the_widest_interval():
    narrow, wide = sensitivity(0.2), replace(sensitivity(0.2), high=0.9)
    assert _lowest([("a", narrow), ("b", wide)])[1].high == 0.9


def test_the_caption_of_the_clinical_table_sets_the_auc_apart_from_percent(board):
    assert "In %; the AUC is between 0 and 1." in board.read_text(encoding="utf-8")


def test_a_good_model_on_a_common_class_is_not_marked(table, pretend):
    labels = (1,) * 97 + (0,) * 3
    assert marks(records(table(pretend("natural", labels=labels, tracks=("clean",)))), NAMES) == ()


def test_guessing_is_marked_as_no_better_than_one_answer(table, pretend):
    labels = (0, 1) * 60
    wrong = frozenset(image for image in range(120) if image % 4 in (0, 1))
    (sentence,) = marks(records(table(pretend("natural", labels=labels, tracks=("clean",), wrong_clean=wrong))), NAMES)
    assert sentence.startswith("Is no better, within noise, than a constant prediction: balanced accuracy 50.0 %")


def test_a_sound_model_that_attacks_drive_to_one_answer_is_marked_for_the_worst_case_alone(table, pretend):
    labels = (0, 1, 1) * 20
    falls = {("white-box", "pgd-20", image): 8.0 for image, label in enumerate(labels) if label == 0}
    entry = pretend("natural", labels=labels, attacked=60, falls=falls)
    (sentence,) = marks(records(table(entry)), NAMES)
    assert sentence.startswith("Under the worst case at 8/255 it predicts 'ill' on every image")


def test_a_model_that_attacks_turn_over_is_not_called_constant_but_worse_than_that(table, pretend):
    falls = {("white-box", "pgd-20", image): 8.0 for image in range(60)}
    entry = pretend("natural", labels=(0, 1) * 30, attacked=60, falls=falls)
    assert marks(records(table(entry)), NAMES) == (
        "Under the worst case at 8/255 it is worse than a constant prediction: "
        "balanced accuracy 0.0 % (0.0 to 0.0) beside 50.0 %, accuracy 0.0 % (at most 5.0) beside 50.0 %.",
    )


@pytest.fixture
def board(tmp_path, project, filed, pretend):
    """First page of a site with a sound entry and a constant one."""
    project.manifest("natural", "Natural training")
    project.manifest("same", "Always ill", "other")
    sound = pretend("natural", labels=(0, 1, 1) * 20, attacked=60, frames=2)
    return build_site(filed(sound, constant(pretend, frames=2)), project.root, tmp_path / "site")


def test_the_board_and_the_entrys_page_say_that_it_is_constant(board):
    first = board.read_text(encoding="utf-8")
    assert first.count(">nearly constant<") == 2, "its badge, and the legend"
    assert "on every image, and is no better, within noise, than a constant prediction" in first
    own = (board.parent / "entries" / "same.html").read_text(encoding="utf-8")
    assert '<p class="note mark">Predicts' in own
    assert "note mark" not in (board.parent / "entries" / "natural.html").read_text(encoding="utf-8")


def test_the_board_has_a_clinical_table_with_the_constant_prediction_beside_accuracy(board):
    table = board.read_text(encoding="utf-8").split('class="plain-table clinical"')[1].split("</table>")[0]
    head = [part.split("<")[0] for part in table.split('<th scope="col">')[1:]]
    assert head[:6] == ["Defense", "Accuracy", "Constant prediction", "Balanced accuracy", "AUC", "Calibration error ↓"]
    row = table.split("Always ill")[1].split("</tr>")[0]
    assert [part.split("<")[0] for part in row.split('class="figure">')[1:]][:4] == ["66.7", "66.7", "50.0", "0.500"]


def test_the_entrys_page_has_sensitivity_and_specificity_of_every_class(board):
    page = (board.parent / "entries" / "natural.html").read_text(encoding="utf-8")
    table = page.split('class="plain-table classes"')[1].split("</table>")[0]
    assert table.count('<th scope="col">Sensitivity</th>') == table.count('<th scope="col">Specificity</th>') == 2
    assert table.count('<th scope="row">') == 2


def test_how_abstentions_enter_is_said_where_figures_are_explained(board):
    assert "An abstention is never correct" in (board.parent / "read.html").read_text(encoding="utf-8")


def test_downloads_hold_the_clinical_figures(board):
    found = json.loads((board.parent / "data" / "records.json").read_text(encoding="utf-8"))
    clean = {one["metric"] for one in found if one["track"] == "clean"}
    assert {"specificity_class_1", "calibration_error", "answer_share_class_0", "majority_class_rate"} <= clean


def test_figures_are_written_as_json(table, pretend):
    plain = json.loads(as_json(records(table(pretend("natural", tracks=("clean",))))))
    assert {"calibration_error", "specificity_class_0"} <= {one["metric"] for one in plain}


CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH and CHROMIUM is not set")
def test_the_clinical_table_stays_while_the_board_is_filtered(board):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": 390, "height": 800})
        page.goto(board.as_uri())
        page.get_by_label("Find").fill("no such entry")
        assert page.locator("table.clinical tbody tr").first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        chromium.close()
