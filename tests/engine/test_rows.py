"""What rows hold in each track."""

import pytest

from benchmark.corruption import PERTURBATIONS
from benchmark.results.schema import NOT_IDENTITY, SCHEMA, TRACKS
from benchmark.results.store import read_table

from .conftest import COUNTS, SHIPPED


@pytest.fixture(params=SHIPPED)
def submission(request):
    return request.param


@pytest.mark.parametrize("track", TRACKS)
def test_files_have_the_schema_and_valid_rows(whole, submission, track):
    table = read_table(whole.results / "toy" / submission / f"{track}.parquet")
    assert table.schema.equals(SCHEMA)
    table.validate(full=True)
    rows = whole.rows(submission, track)
    assert set(rows.track) == {track}
    assert set(rows.submission) == {submission}
    assert set(rows.status) == {"ok"}
    always = ["submission_hash", "dataset_hash", "sample_id", "group_id", "matrix_hash", "seed", "label", "pred_clean"]
    assert rows[[*always, "correct", "draws", "right_draws", "git_commit", "started_at"]].notna().all(axis=None)
    assert rows.submission_hash.str.fullmatch("[0-9a-f]{64}").all()
    assert rows.label.isin([0, 1, 2]).all()
    assert rows.pred.isin([-1, 0, 1, 2]).all()
    assert (rows.abstained == (rows.pred == -1)).all()
    assert rows.prob_true.between(0, 1).all()


@pytest.mark.parametrize("track", TRACKS)
def test_correct_means_right_in_half_of_the_draws_and_not_broken_before(whole, submission, track):
    rows = whole.rows(submission, track)
    right = rows.right_draws * 2 >= rows.draws
    assert (rows.correct == (right & (rows.broken_by == ""))).all()


@pytest.mark.parametrize("track", [track for track in TRACKS if track != "corruption"])
def test_probabilities_sum_to_one_and_the_true_ones_is_prob_true(whole, submission, track):
    for row in whole.rows(submission, track).itertuples():
        assert sum(row.probs) == pytest.approx(1, abs=1e-5)
        assert row.prob_true == pytest.approx(row.probs[row.label], abs=1e-6)


def test_the_clean_track_covers_the_whole_test_split(whole, submission):
    rows = whole.rows(submission, "clean")
    assert len(rows) == rows.sample_id.nunique() == COUNTS["test"]
    assert (rows.pred == rows.pred_clean).all()
    assert set(rows.attack) == {"none"}


@pytest.mark.parametrize("track", TRACKS)
def test_every_row_names_the_patient_of_its_image(whole, submission, track):
    rows = whole.rows(submission, track)
    number = rows.sample_id.str.removeprefix("test-").astype(int)
    assert (rows.group_id == "test-patient-" + (number // 2).astype(str)).all()


def test_every_track_starts_from_the_same_clean_verdict(whole, submission):
    clean = whole.rows(submission, "clean").set_index("sample_id").pred_clean
    for track in TRACKS:
        rows = whole.rows(submission, track)
        assert rows.pred_clean.tolist() == clean[rows.sample_id].tolist()


def test_the_corruption_track_has_every_frame_of_every_sequence(whole, submission):
    rows = whole.rows(submission, "corruption")
    assert len(rows) == len(PERTURBATIONS) * 2 * 21 * 3
    each = rows.groupby(["attack", "severity", "sample_id"]).frame.agg(["min", "max", "nunique"])
    assert (each == [0, 20, 21]).all(axis=None)
    assert set(rows.attack) == set(PERTURBATIONS)
    assert set(rows.severity) == {1, 5}


def test_corrupted_images_are_among_the_attacked_ones(whole, submission):
    assert set(whole.rows(submission, "corruption").sample_id) < set(whole.rows(submission, "white-box").sample_id)


def test_a_random_defense_is_judged_in_three_draws_and_a_deterministic_one_in_one(whole, submission):
    draws = 3 if submission == "voting" else 1
    for track in ("clean", "no-box", "black-box", "white-box", "adaptive"):
        assert set(whole.rows(submission, track).draws) == {draws}
    assert set(whole.rows(submission, "corruption").draws) == {1}


def test_the_draws_of_a_random_defense_differ(whole):
    rows = whole.rows("voting", "white-box")
    assert set(rows.right_draws) > {0, 3}


def test_attacked_rows_lie_in_the_ball_and_count_their_cost(whole, submission):
    for track in ("no-box", "black-box", "gray-box", "white-box", "adaptive"):
        fired = whole.rows(submission, track).query("not skipped")
        linf = fired[fired.norm == "linf"]
        assert (linf.linf <= linf.eps_255 / 255 + 1e-6).all()
        l2 = fired[fired.norm == "l2"]
        assert (l2.l2 <= l2.eps_255 / 255 * 12 + 1e-5).all()
        assert (fired.queries > 0).all()
        assert (fired.seconds > 0).all()
        assert (fired.pixels > 0).any()
        assert ((fired.gradients > 0) != fired.attack.isin(["square", "rays"])).all()


@pytest.mark.parametrize("track", ["white-box", "adaptive"])
def test_an_informative_cell_attacks_every_image_that_is_right_when_clean(whole, track):
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


def test_budgets_of_different_norms_spare_each_other_nothing(whole):
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
    assert len(list((whole.results / ".parts" / "toy" / "plain").glob("fit-uap-*.safetensors"))) == 2


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
