"""What rows hold in each track."""

import pytest

from benchmark.corruption import PERTURBATIONS
from benchmark.matrix.rules import rules
from benchmark.results.schema import NOT_IDENTITY, REPEATED, SCHEMA
from benchmark.results.store import read_table

from .conftest import COUNTS, FILES, SHIPPED

ATTACKS = ("no-box", "black-box", "gray-box", "white-box", "adaptive")
JUDGED = ("clean", *ATTACKS)
"""Tracks with one answer a row, not a sequence of them."""


@pytest.fixture(params=SHIPPED)
def submission(request):
    return request.param


@pytest.mark.parametrize("track", FILES)
def test_files_have_the_schema_and_say_where_rows_come_from(whole, submission, track):
    table = read_table(whole.results / "toy" / submission / f"{track}.parquet")
    assert table.schema.equals(SCHEMA)
    table.validate(full=True)
    rows = whole.rows(submission, track)
    assert set(rows.track) == {track}
    assert set(rows.submission) == {submission}
    assert set(rows.status) == {"ok"}
    always = ["submission_hash", "dataset_hash", "sample_id", "group_id", "matrix_version", "matrix_hash", "label"]
    assert rows[[*always, "made_by", "harness_version", "git_commit", "started_at"]].notna().all(axis=None)
    assert rows.submission_hash.str.fullmatch("[0-9a-f]{64}").all()
    assert rows.made_by.str.fullmatch("[0-9a-f]{16}").all()
    assert (rows.groupby("attack").made_by.nunique() == 1).all()
    assert rows.label.isin([0, 1, 2]).all()


@pytest.mark.parametrize("track", JUDGED)
def test_a_judged_row_has_the_answers_to_the_image_and_to_the_clean_one(whole, submission, track):
    rows = whole.rows(submission, track)
    assert rows[["pred_clean", "pred", "correct", "draws", "right_draws"]].notna().all(axis=None)
    assert rows.pred.isin([-1, 0, 1, 2]).all()
    assert (rows.abstained == (rows.pred == -1)).all()


@pytest.mark.parametrize("track", JUDGED)
def test_correct_means_right_in_half_of_the_draws_and_not_broken_before(whole, submission, track):
    rows = whole.rows(submission, track)
    right = rows.right_draws * 2 >= rows.draws
    assert (rows.correct == (right & (rows.broken_by == ""))).all()


def test_clean_rows_have_the_probabilities_of_all_classes(whole, submission):
    for probs in whole.rows(submission, "clean").probs:
        assert len(probs) == 3
        assert sum(probs) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("track", ATTACKS)
def test_attack_rows_have_those_of_all_classes_but_the_last_with_three_decimals(whole, submission, track):
    rows = whole.rows(submission, track)
    assert rows.probs.isna().all()
    told = rows[~rows.skipped & (rows.same_as == "") & rows.probs_but_last.notna()].probs_but_last
    assert len(told) > 0 or (rows.same_as != "").all()
    for probs in told:
        assert len(probs) == 2
        assert probs == pytest.approx([round(value, 3) for value in probs], abs=1e-7)
        assert sum(probs) < 1 + 2e-3


@pytest.mark.parametrize("track", ATTACKS)
def test_rows_that_follow_from_another_leave_probabilities_and_costs_to_it(whole, submission, track):
    rows = whole.rows(submission, track)
    assert rows[rows.skipped | (rows.same_as != "")][list(REPEATED)].isna().all(axis=None)


def test_the_clean_track_covers_the_whole_test_split(whole, submission):
    rows = whole.rows(submission, "clean")
    assert len(rows) == rows.sample_id.nunique() == COUNTS["test"]
    assert (rows.pred == rows.pred_clean).all()
    assert set(rows.attack) == {"none"}


@pytest.mark.parametrize("track", FILES)
def test_every_row_names_the_patient_of_its_image(whole, submission, track):
    rows = whole.rows(submission, track)
    number = rows.sample_id.str.removeprefix("test-").astype(int)
    assert (rows.group_id == "test-patient-" + (number // 2).astype(str)).all()


def test_every_track_starts_from_the_same_clean_verdict(whole, submission):
    clean = whole.rows(submission, "clean").set_index("sample_id").pred_clean
    for track in rules().names:
        rows = whole.rows(submission, track)
        assert rows.pred_clean.tolist() == clean[rows.sample_id].tolist()


def test_the_corruption_track_has_a_row_for_every_sequence_with_the_answers_to_its_frames(whole, submission):
    rows = whole.rows(submission, "corruption")
    assert len(rows) == len(PERTURBATIONS) * 2 * 3
    assert not rows.duplicated(["attack", "severity", "sample_id"]).any()
    assert set(rows.preds.map(len)) == {21}
    assert all(pred in (-1, 0, 1, 2) for preds in rows.preds for pred in preds)
    assert set(rows.attack) == set(PERTURBATIONS)
    assert set(rows.severity) == {1, 5}
    assert rows[["pred", "correct", "draws", "right_draws"]].isna().all(axis=None)


def test_a_sequence_starts_from_the_clean_image(whole):
    rows = whole.rows("plain", "corruption")
    assert rows.preds.map(lambda preds: preds[0]).tolist() == rows.pred_clean.tolist()


def test_a_vote_tells_its_copies_and_its_score_of_every_frame_and_no_other_defense_does(whole, submission):
    rows = whole.rows(submission, "corruption")
    if submission == "voting":
        assert set(rows.copies_taken.map(len)) == set(rows.scores.map(len)) == {21}
        assert {copies for taken in rows.copies_taken for copies in taken} == {8}
    else:
        assert rows[["copies_taken", "scores"]].isna().all(axis=None)


def test_corrupted_images_are_among_the_attacked_ones(whole, submission):
    assert set(whole.rows(submission, "corruption").sample_id) < set(whole.rows(submission, "white-box").sample_id)


def test_a_random_defense_is_judged_in_three_draws_and_a_deterministic_one_in_one(whole, submission):
    draws = 3 if submission == "voting" else 1
    for track in ("clean", "no-box", "black-box", "white-box", "adaptive"):
        assert set(whole.rows(submission, track).draws) == {draws}


def test_the_draws_of_a_random_defense_differ(whole):
    rows = whole.rows("voting", "white-box")
    assert set(rows.right_draws) > {0, 3}


HALF_A_DECIMAL = 5e-4 + 1e-6
"""Distances have three decimals."""


def own(rows):
    """Rows of attacks that were run here, neither skipped nor another track's."""
    return rows[~rows.skipped & (rows.same_as == "")]


@pytest.mark.parametrize("track", ATTACKS)
def test_attacked_rows_lie_in_the_ball_and_tell_the_distance_in_its_norm_alone(whole, submission, track):
    fired = own(whole.rows(submission, track))
    radius = {"linf": fired.eps_255 / 255, "l2": fired.eps_255 / 255 * 12}
    for norm in ("linf", "l2"):
        assert (fired.norm == norm).equals(fired[norm].notna())
        assert (fired[norm].dropna() <= radius[norm][fired.norm == norm] + HALF_A_DECIMAL).all()
    assert fired.pixels.isna().all()


@pytest.mark.parametrize("track", ATTACKS)
def test_attacked_rows_count_their_cost(whole, submission, track):
    fired = own(whole.rows(submission, track))
    assert (fired.queries > 0).all()
    assert (fired.seconds > 0).all()
    assert ((fired.gradients > 0) != fired.attack.isin(["square", "rays"])).all()


def test_seconds_have_two_digits(whole):
    told = own(whole.rows("plain", "white-box")).seconds
    assert told.tolist() == pytest.approx([float(f"{value:.2g}") for value in told], rel=1e-5)


@pytest.mark.parametrize("track", ["white-box", "adaptive"])
def test_an_unranked_cell_attacks_every_image_that_is_right_when_clean(whole, track):
    """And no row of another cell owes its verdict to it."""
    rows = whole.rows("plain", track)
    beside = rows.attack.isin(["bim", "fea"])
    assert (rows.unranked == beside).all()
    assert (rows[beside].skipped == (rows[beside].pred_clean != rows[beside].label)).all()
    assert not rows.broken_by.str.startswith(("bim", "fea")).any()


def test_the_white_box_track_looks_into_the_undefended_classifier_alone(whole):
    """An attack on features costs one pass a look there, however many copies the defense votes over."""
    fired = whole.rows("voting", "white-box").query("attack == 'fea' and not skipped")
    assert set(fired.gradients) == {2 + 1}


def test_budgets_of_different_norms_are_no_reason_to_skip(whole):
    rows = whole.rows("plain", "white-box")
    first = rows[(rows.attack == "pgd-l2") & (rows.eps_255 == 2)]
    assert (first.skipped == (first.pred_clean != first.label)).all()
    assert not rows[rows.norm == "linf"].broken_by.str.startswith("pgd-l2").any()


def test_the_identity_backward_pass_is_tried_only_where_it_may_differ(whole, run, plant):
    """A plain classifier, and one whose stage declares the identity anyway, meet one cell less."""
    assert "pgd-identity" in set(whole.rows("jpeg", "adaptive").attack)
    assert "pgd-identity" in set(whole.rows("voting", "adaptive").attack)
    assert "pgd-identity" not in set(whole.rows("plain", "adaptive").attack)
    bits = run([plant("bits", "stages=[BitDepth(4)]")], ["adaptive"])
    assert set(bits.rows("bits", "adaptive").attack) == {"pgd", "square"}


def test_a_fitted_attack_gives_every_chunk_the_same_perturbation(whole):
    """Fitted once per entry and budget, its cost is spread evenly over the images."""
    fired = whole.rows("plain", "gray-box").query("not skipped")
    assert fired.groupby("eps_255").queries.nunique().tolist() == [1, 1]
    assert len(list((whole.results / ".parts" / "toy" / "plain").glob("fit-uap-*.arrow"))) == 2


def test_eot_costs_as_many_passes_as_it_averages(whole):
    fired = whole.rows("voting", "adaptive").query("attack == 'pgd' and not skipped")
    assert set(fired.gradients) == {4 * 3}


def test_black_box_queries_stay_within_the_budget(whole, submission):
    budget = 12 if submission == "voting" else 60
    assert whole.rows(submission, "black-box").queries.max() <= budget


def test_every_column_says_what_it_means():
    for field in SCHEMA:
        meaning = field.metadata[b"description"].decode()
        assert len(meaning) > 5
        assert field.name != meaning


def test_columns_that_may_differ_between_runs_are_columns():
    assert set(NOT_IDENTITY) < set(SCHEMA.names)


def test_only_a_vote_has_copies(whole, submission):
    rows = whole.rows(submission, "clean")
    if submission == "voting":
        assert rows.copies.eq(8).all()
    else:
        assert rows.copies.isna().all()
