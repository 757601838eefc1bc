"""Work that is skipped changes no worst case, costs nothing and says whom it owes its verdict to."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from benchmark.attacks.square import Square
from benchmark.engine import RunSettings, Unit
from benchmark.engine.cell_run import CellRun
from benchmark.engine.graph import inputs_of, rows_node
from benchmark.engine.workplace import Workplace
from benchmark.results.schema import REPEATED

from .conftest import MATRIX, SHIPPED, STEADY

ATTACKS = ("no-box", "black-box", "gray-box", "white-box", "adaptive")


@pytest.fixture(scope="module")
def individual(run):
    """Every cell on every image."""
    return run(["plain", "jpeg"], ATTACKS, individual=True)


def worst_case(rows):
    """Per image and budget: right under every cell at this budget and below, for a small ball lies in a large one."""
    by_eps = rows.pivot_table(index="sample_id", columns="eps_255", values="correct", aggfunc="min")
    return by_eps.sort_index(axis=1).astype(int).cummin(axis=1)


@pytest.mark.parametrize("track", ATTACKS)
@pytest.mark.parametrize("submission", ["plain", "jpeg"])
def test_the_worst_case_is_that_of_running_every_cell_on_every_image(whole, individual, submission, track):
    skipped, full = whole.rows(submission, track), individual.rows(submission, track)
    assert worst_case(skipped).equals(worst_case(full))


@pytest.mark.parametrize("submission", ["plain", "jpeg"])
def test_skipping_saves_passes(whole, individual, submission):
    def passes(run):
        rows = pd.concat([run.rows(submission, track) for track in ATTACKS])
        return rows.queries.sum() + rows.gradients.sum()

    assert passes(whole) < 0.7 * passes(individual)


@pytest.mark.parametrize("track", ATTACKS)
@pytest.mark.parametrize("submission", ["plain", "jpeg"])
def test_an_individual_run_attacks_every_image_that_is_right_on_clean(individual, submission, track):
    rows = individual.rows(submission, track)
    assert (rows.skipped == (rows.pred_clean != rows.label)).all()
    assert set(rows[rows.skipped].broken_by) <= {"clean"}
    assert not rows.official.any()


@pytest.mark.parametrize("track", ATTACKS)
@pytest.mark.parametrize("submission", SHIPPED)
def test_every_cell_has_one_row_per_image_and_budget(whole, submission, track):
    rows = whole.rows(submission, track)
    assert not rows.duplicated(["sample_id", "attack", "eps_255"]).any()
    assert rows.groupby(["attack", "eps_255"]).sample_id.nunique().unique().tolist() == [20]


@pytest.mark.parametrize("track", ATTACKS)
@pytest.mark.parametrize("submission", SHIPPED)
def test_skipped_rows_cost_nothing(whole, submission, track):
    skipped = whole.rows(submission, track).query("skipped")
    assert len(skipped) > 0
    assert skipped[["queries", "gradients", "seconds", "linf", "l2", "pixels"]].isna().all(axis=None)


@pytest.mark.parametrize("track", ATTACKS)
@pytest.mark.parametrize("submission", SHIPPED)
def test_broken_by_names_the_row_that_felled_the_image(whole, submission, track):
    rows = whole.rows(submission, track)
    found = {(row.sample_id, f"{row.attack}@{row.eps_255:g}"): row for row in rows.itertuples()}
    for row in rows[rows.broken_by != ""].itertuples():
        assert row.skipped
        assert not row.correct
        if row.broken_by == "clean":
            assert row.pred_clean != row.label
            continue
        culprit = found[(row.sample_id, row.broken_by)]
        assert not culprit.skipped
        assert not culprit.correct
        assert culprit.eps_255 <= row.eps_255
        assert culprit.pred == row.pred


@pytest.mark.parametrize("track", ATTACKS)
@pytest.mark.parametrize("submission", SHIPPED)
def test_a_row_skipped_as_survived_has_survived_the_same_cell_at_a_larger_budget(whole, submission, track):
    """A cell whose rows are another track's brings that track's evidence along."""
    own = whole.rows(submission, track)
    rows = pd.concat([own, whole.rows(submission, "black-box")])
    for row in own[own.skipped & own.correct].itertuples():
        larger = rows[(rows.sample_id == row.sample_id) & (rows.attack == row.attack) & (rows.eps_255 > row.eps_255)]
        assert (larger.correct & ~larger.skipped).any()


@pytest.mark.parametrize("submission", SHIPPED)
def test_a_dear_cell_is_tried_at_a_smaller_budget_only_on_what_it_felled_above(whole, submission):
    rows = whole.rows(submission, "black-box").query("attack == 'square'").set_index(["sample_id", "eps_255"])
    for (name, eps), row in rows.iterrows():
        if eps == 8:
            assert row.skipped == (row.broken_by == "clean")
        elif not row.skipped:
            assert not rows.loc[(name, eps * 2)].correct
            assert not rows.loc[(name, eps * 2)].skipped


@pytest.mark.parametrize("track", ATTACKS)
@pytest.mark.parametrize("submission", SHIPPED)
def test_an_image_wrong_on_clean_is_never_robust_and_never_attacked(whole, submission, track):
    rows = whole.rows(submission, track)
    wrong = rows[rows.pred_clean != rows.label]
    assert len(wrong) > 0
    if submission != "voting":
        assert not wrong.correct.any()
        assert wrong.skipped.all()


def test_a_plain_classifiers_adaptive_rows_are_its_white_box_rows_and_say_so(whole):
    white_box, adaptive = whole.rows("plain", "white-box"), whole.rows("plain", "adaptive")
    assert set(adaptive.same_as) == {"white-box"}
    assert set(white_box[white_box.attack != "square"].same_as) == {""}
    different = ["track", "same_as", *REPEATED]
    assert_frame_equal(adaptive.drop(columns=different), white_box.drop(columns=different))


def test_a_defended_systems_adaptive_rows_are_its_own_but_for_those_of_a_cell_that_another_track_has_run(whole):
    rows = whole.rows("jpeg", "adaptive")
    assert set(rows[rows.attack != "square"].same_as) == {""}
    assert set(rows[(rows.attack == "square") & ~rows.skipped].same_as) == {"black-box"}


@pytest.mark.parametrize(("submission", "track"), [("plain", "white-box"), ("jpeg", "adaptive")])
def test_autoattacks_square_is_the_black_box_square(whole, submission, track):
    keys = ["sample_id", "eps_255"]
    own = whole.rows(submission, track).query("attack == 'square' and not skipped").set_index(keys)
    there = whole.rows(submission, "black-box").query("attack == 'square'").set_index(keys).loc[own.index]
    assert len(own) > 0
    assert set(own.same_as) == {"black-box"}
    for column in ("pred", "correct", "right_draws"):
        assert own[column].tolist() == there[column].tolist(), column


def test_square_is_computed_once_where_two_tracks_share_it(run, monkeypatch):
    calls = []
    honest = Square.__call__

    def counting(self, *arguments):
        calls.append(len(arguments[2]))
        return honest(self, *arguments)

    monkeypatch.setattr(Square, "__call__", counting)
    result = run(["plain"], ["black-box", "white-box", "adaptive"])
    fired = result.rows("plain", "black-box").query("attack == 'square' and not skipped")
    assert sum(calls) == len(fired)


@pytest.mark.slow
def test_the_white_box_square_of_a_defended_system_asks_its_undefended_classifier(run):
    """A plain classifier's scores in the black-box track are those that the white-box attacker gets of a voting one."""
    own = run(["voting", "plain"], ["white-box", "black-box"], individual=True)
    keys = ["sample_id", "eps_255"]
    voting, plain = (
        own.rows(name, track).query("attack == 'square' and not skipped").set_index(keys)
        for name, track in (("voting", "white-box"), ("plain", "black-box"))
    )
    both = voting.index.intersection(plain.index)
    assert len(both) > 10
    # The classifier is the same one, so the search takes the same course.
    assert voting.loc[both].queries.equals(plain.loc[both].queries)
    assert voting.loc[both].linf.tolist() == plain.loc[both].linf.tolist()


def test_same_seed_wherever_method_parameters_and_budget_are_the_same(root, tmp_path):
    place = Workplace(RunSettings(root=root, results=tmp_path, data_dir=root / "data", limits=STEADY))

    def seeds(submission, track):
        unit = Unit(submission, "toy", track, 0)
        (square,) = [cell for cell in place.cells_of(unit) if cell.name == "square"]
        return [CellRun(place, unit).seed(square, eps, image) for eps in square.eps_255 for image in range(8)]

    one, other = seeds("plain", "black-box"), seeds("jpeg", "white-box")
    assert one == other
    assert len(set(one)) == len(one)


def test_where_only_the_felled_are_followed_a_dear_cell_leaves_the_rest_to_those_who_felled_them(run, tmp_path):
    """RayS goes below 8/255 only on what it felled there; the worst case at 8/255 is the same."""
    standing = run(["plain"], ["black-box"]).rows("plain", "black-box")
    matrix = tmp_path / "matrix.toml"
    matrix.write_text('descend = "felled"\n' + MATRIX.read_text())
    felled = run(["plain"], ["black-box"], matrix=matrix).rows("plain", "black-box")
    assert worst_case(felled)[8].equals(worst_case(standing)[8])
    below = felled.query("attack == 'rays' and eps_255 == 4 and not skipped").sample_id
    above = felled.query("attack == 'rays' and eps_255 == 8 and not skipped and not correct").sample_id
    assert set(below) <= set(above)
    assert len(below) < len(standing.query("attack == 'rays' and eps_255 == 4 and not skipped"))
    assert felled.query("skipped and correct").pred.notna().all()


def test_where_each_budget_is_searched_a_dear_cell_tries_whatever_stands_at_each(run, tmp_path):
    matrix = tmp_path / "matrix.toml"
    matrix.write_text('descend = "each"\n' + MATRIX.read_text())
    rows = run(["plain"], ["black-box"], matrix=matrix).rows("plain", "black-box")
    kept = rows[rows.skipped & (rows.broken_by == "")]
    assert kept.empty
    assert set(rows[rows.skipped].broken_by) > {"clean"}


def test_streams_and_twin_of_a_matrix_change_no_worst_case_of_an_honest_entry(run, whole, tmp_path):
    matrix = tmp_path / "matrix.toml"
    matrix.write_text('streams = "philox"\ntwin = true\n' + MATRIX.read_text())
    rows = run(["jpeg"], ["white-box", "adaptive"], matrix=matrix)
    for track in ("white-box", "adaptive"):
        told, before = worst_case(rows.rows("jpeg", track)), worst_case(whole.rows("jpeg", track))
        assert int((told != before).to_numpy().sum()) <= 2


def test_candidates_and_fits_of_other_streams_are_not_taken_up(run, root, tmp_path):
    matrix = tmp_path / "matrix.toml"
    matrix.write_text('streams = "philox"\n' + MATRIX.read_text())
    settings = {"root": root, "data_dir": root / "data", "results": tmp_path / "results"}
    keys = []
    for given in ({}, {"matrix": matrix}):
        workplace = Workplace(RunSettings(**settings, **given))
        keys.append(
            {node.key for node in inputs_of(workplace, rows_node(workplace, Unit("plain", "toy", "no-box", 0)))}
        )
    assert keys[0]
    assert not keys[0] & keys[1]
