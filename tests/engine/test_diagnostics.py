"""The diagnostic track: whether the gradient that the adaptive attacker follows leads anywhere."""

import pytest

from benchmark.engine import RunSettings
from benchmark.engine import workplace as workplace_module
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError
from benchmark.matrix.diagnostics import DIAGNOSTICS_FILE, GRADIENT, load_diagnostics
from benchmark.results.schema import DIAGNOSTIC

from .conftest import SHIPPED, TRACKS

DIAGNOSTICS, DIGEST = load_diagnostics()

TURNED = """
    class Turned(Linear):
        def forward(self, images):
            right = super().forward(images)
            return 2 * right.detach() - right


    def build(context):
        return Defense(context.load_weights(Turned(context)), context.num_classes)
    """
"""The classifier's own answers, with a gradient that points away from every other class."""


def with_gradient(expression):
    """A classifier with the answers ``right`` and the gradient of an expression of it and the images."""
    return f"""
    class Planted(Linear):
        def forward(self, images):
            right = super().forward(images)
            return {expression}


    def build(context):
        return Defense(context.load_weights(Planted(context)), context.num_classes)
    """


def attacked(rows):
    """The rows of attacks at the large radius."""
    return rows[(rows.eps_255 == 128).to_numpy()]


def sizes(rows):
    """The rows of the adaptive gradient's size."""
    return rows[rows.attack == GRADIENT]


def files(result):
    return {path.stem for path in result.report.files}


def test_diagnostics_run_with_the_adaptive_track(whole, run):
    assert DIAGNOSTIC in files(whole)
    assert files(run(["plain"], ["adaptive"])) == {"adaptive", DIAGNOSTIC}


def test_diagnostics_run_with_no_other_track(run):
    others = [track for track in TRACKS if track != "adaptive"]
    assert files(run(["plain"], others)) == set(others)


def test_diagnostics_can_be_run_by_themselves(run):
    assert files(run(["plain"], [DIAGNOSTIC])) == {DIAGNOSTIC}


def test_a_misspelt_diagnostic_track_is_refused_with_a_hint(run):
    with pytest.raises(BenchError, match="Did you mean 'diagnostic'"):
        run(["plain"], ["diagnostics"])


def test_diagnostic_rows_have_the_version_and_the_hash_of_their_own_file(whole):
    rows, adaptive = (whole.rows("plain", track) for track in (DIAGNOSTIC, "adaptive"))
    assert set(rows.matrix_version) == {DIAGNOSTICS.version}
    assert set(rows.matrix_hash) == {DIGEST}
    assert set(adaptive.matrix_hash) != {DIGEST}


def test_other_diagnostics_renew_their_own_rows_alone(root, tmp_path, monkeypatch):
    def names():
        place = Workplace(RunSettings(root=root, results=tmp_path, data_dir=root / "data"))
        return {track: place.hash_of(track) for track in ("adaptive", DIAGNOSTIC)}

    before = names()
    monkeypatch.setattr(workplace_module, "load_diagnostics", lambda: (DIAGNOSTICS, "0" * 64))
    after = names()
    assert {track for track in before if before[track] != after[track]} == {DIAGNOSTIC}


@pytest.mark.parametrize(("profile", "images"), [("official", 5), ("quick", 3)])
def test_they_look_at_so_many_images_of_the_official_subset(root, tmp_path, monkeypatch, profile, images):
    few = DIAGNOSTICS.model_copy(update={"images": 5, "quick_images": 3})
    monkeypatch.setattr(workplace_module, "load_diagnostics", lambda: (few, DIGEST))
    place = Workplace(RunSettings(root=root, results=tmp_path, data_dir=root / "data", profile=profile))
    chosen = place.split("toy", DIAGNOSTIC).ids
    assert len(chosen) == images
    assert set(chosen) < set(place.split("toy", "adaptive").ids)


@pytest.mark.parametrize("submission", SHIPPED)
def test_every_image_that_is_right_without_attack_meets_every_attack_at_the_large_radius(whole, submission):
    rows = attacked(whole.rows(submission, DIAGNOSTIC))
    assert rows.unranked.all()
    assert set(rows.attack) == {cell.name for cell in DIAGNOSTICS.cell if cell.unranked}
    assert rows.groupby("attack").sample_id.nunique().tolist() == [20, 20]
    assert (rows.skipped == (rows.broken_by == "clean")).all()


@pytest.mark.parametrize("submission", SHIPPED)
def test_an_entry_with_code_of_its_own_meets_every_attack_that_needs_nothing_of_it(whole, submission):
    """The toys' network is their own. What one attack has broken the next ones skip."""
    rows = whole.rows(submission, DIAGNOSTIC)
    rows = rows[(rows.eps_255 == 8).to_numpy()]
    assert not rows.unranked.any()
    assert rows.groupby("attack", observed=True).sample_id.nunique().to_dict() == {
        "inner": 20,
        "distilled": 20,
        "rays": 20,
    }
    tried = rows[~rows.skipped]
    assert (tried.groupby("attack", observed=True).queries.sum() > 0)[list(set(tried.attack) - {"inner"})].all()


@pytest.mark.parametrize("submission", SHIPPED)
def test_a_sound_entry_keeps_no_image_at_128_of_255(whole, submission):
    assert not attacked(whole.rows(submission, DIAGNOSTIC)).correct.any()


def test_an_entry_whose_gradient_leads_away_keeps_images_at_128_of_255(run, plant, whole):
    """Those that the random start has not broken already."""
    rows = attacked(run([plant("turned", code=TURNED)], [DIAGNOSTIC]).rows("turned", DIAGNOSTIC))
    assert rows.pred_clean.tolist() == attacked(whole.rows("plain", DIAGNOSTIC)).pred_clean.tolist()
    kept = rows.groupby("sample_id").correct.all()
    assert kept.mean() > 0.25


@pytest.mark.parametrize("submission", SHIPPED)
def test_a_sound_entry_has_a_gradient_at_every_image(whole, submission):
    rows = sizes(whole.rows(submission, DIAGNOSTIC))
    assert rows.sample_id.nunique() == len(rows) == 20
    assert (rows.score > 0).all()
    assert rows.unranked.all()
    assert rows[["pred", "correct", "eps_255"]].isna().all(axis=None)


def test_the_size_is_that_of_the_largest_component_of_the_margins_gradient(whole):
    """The toy classifier's weights are -1 and 1: a margin's gradient has components of 0 and 2."""
    assert set(sizes(whole.rows("plain", DIAGNOSTIC)).score) == {2.0}


def test_a_zero_gradient_is_told(run, plant):
    folder = plant("flat", code=with_gradient("right.detach() + 0 * images.sum()"))
    assert set(sizes(run([folder], [DIAGNOSTIC]).rows("flat", DIAGNOSTIC)).score) == {0.0}


def test_a_gradient_that_is_not_finite_is_told_by_no_size_at_all(run, plant):
    """The root's slope at 0 is infinite, and infinity times nothing is no number."""
    folder = plant("holed", code=with_gradient("right + (images - images).flatten(1).sum(1, keepdim=True).sqrt()"))
    rows = sizes(run([folder], [DIAGNOSTIC]).rows("holed", DIAGNOSTIC))
    assert set(rows.status) == {"ok"}
    assert rows.score.isna().all()


def test_a_gradient_that_cannot_be_taken_is_a_gap_that_says_why(run, plant):
    rows = run([plant("cut", code=with_gradient("right.detach()"))], [DIAGNOSTIC]).rows("cut", DIAGNOSTIC)
    assert set(sizes(rows).status) == {"gap"}
    assert sizes(rows).reason.str.startswith("RuntimeError: ").all()


def test_the_diagnostics_in_force_are_the_file_that_their_hash_is_of():
    text = DIAGNOSTICS_FILE.read_text(encoding="utf-8")
    assert DIAGNOSTICS_FILE.name == f"diagnostics-v{DIAGNOSTICS.version}.toml"
    assert all(f'name = "{cell.name}"' in text for cell in DIAGNOSTICS.cell)
    assert {cell.name for cell in DIAGNOSTICS.cell if not cell.unranked} == {"inner", "distilled", "rays"}
