"""A run's rows depend on what is evaluated, never on how."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from pandas.testing import assert_frame_equal

from benchmark.engine import RunReport, RunSettings, Unit
from benchmark.engine import run_unit as run_unit_module
from benchmark.engine.coinciding import draws_on
from benchmark.engine.graph import rows_node
from benchmark.engine.made_by import code_hash, code_of
from benchmark.engine.settings import PARTS
from benchmark.engine.store import Store
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError
from benchmark.results.schema import DIAGNOSTIC

from .conftest import FILES, SHIPPED, STEADY, TRACKS, Run

ATTACKS = ("black-box", "white-box", "adaptive")


def assert_same_rows(one, other, submissions=SHIPPED, tracks=FILES):
    for submission in submissions:
        for track in tracks:
            assert_frame_equal(one.identity(submission, track), other.identity(submission, track), check_exact=True)


def finished_parts(results):
    return sorted((results / PARTS).rglob("*.parquet"))


@pytest.fixture
def computed(monkeypatch):
    """Names of the units that are really computed in this process."""
    names = []
    honest = run_unit_module._compute

    def spy(workplace, unit, *rest):
        names.append(str(unit))
        return honest(workplace, unit, *rest)

    monkeypatch.setattr(run_unit_module, "_compute", spy)
    return names


def test_a_whole_run_fails_nowhere_and_writes_a_file_per_submission_and_track(whole):
    assert whole.report.failures == {}
    assert len(whole.report.files) == len(SHIPPED) * len(FILES)


@pytest.mark.slow
def test_four_workers_make_the_rows_of_one_to_the_last_bit(whole, run):
    submissions = ["plain", "voting"]
    assert_same_rows(whole, run(submissions, TRACKS, workers=4), submissions)


@pytest.mark.slow
@pytest.mark.parametrize("submission", ["plain", "jpeg"])
def test_workers_wait_for_rows_that_they_would_else_compute_twice(run, monkeypatch, tmp_path, submission):
    log = tmp_path / "computed.txt"
    honest = run_unit_module._compute

    def spy(workplace, unit, *rest):
        with log.open("a") as file:
            print(unit, file=file)
        return honest(workplace, unit, *rest)

    monkeypatch.setattr(run_unit_module, "_compute", spy)
    run([submission], ATTACKS, workers=4)
    names = log.read_text().splitlines()
    assert len(names) == len(set(names)) == 3 * len((*ATTACKS, DIAGNOSTIC))


@pytest.mark.parametrize(
    ("unit", "sources"),
    [
        ("plain/white-box", {"black-box"}),
        ("plain/adaptive", {"white-box"}),
        ("jpeg/white-box", set()),
        ("jpeg/adaptive", {"black-box"}),
        ("voting/white-box", set()),
        ("voting/adaptive", set()),
        ("plain/black-box", set()),
    ],
)
def test_a_unit_waits_only_for_those_whose_rows_it_takes_over(root, tmp_path, unit, sources):
    submission, track = unit.split("/")
    place = Workplace(RunSettings(root=root, results=tmp_path, data_dir=root / "data", limits=STEADY))
    found = draws_on(place, Unit(submission, "toy", track, 1))
    assert found == {Unit(submission, "toy", source, 1) for source in sources}


@pytest.mark.slow
def test_workers_that_start_from_nothing_make_the_same_rows_too(root, tmp_path):
    """As in production: spawned processes and the matrix in force, which the other tests replace."""
    code = f"""
from pathlib import Path
from benchmark.engine import RunSettings, evaluate
if __name__ == "__main__":
    for workers in (1, 2):
        root, results = Path({str(root)!r}), Path({str(tmp_path)!r}) / str(workers)
        settings = RunSettings(root=root, results=results, data_dir=root / "data", limits=STEADY)
        report = evaluate(settings, ["voting", "plain"], ["toy"], ["clean"], workers)
        assert report.failures == {{}}, report
"""
    (tmp_path / "script.py").write_text(code)
    subprocess.run([sys.executable, str(tmp_path / "script.py")], check=True, capture_output=True, text=True)
    for submission in ("voting", "plain"):
        one, two = (Run(RunReport(), tmp_path / str(workers)).identity(submission, "clean") for workers in (1, 2))
        assert len(one) == 40
        assert_frame_equal(one, two)


def test_a_submission_named_twice_is_evaluated_once(run, root):
    rows = run(["plain", root / "submissions" / "plain", "plain"], ["clean"]).rows("plain", "clean")
    assert len(rows) == 40


def test_two_submissions_of_one_name_are_refused(run, plant):
    with pytest.raises(BenchError, match="two submissions are called 'plain'"):
        run(["plain", plant("plain")], ["clean"])


@pytest.mark.slow
def test_a_run_broken_off_in_the_middle_goes_on_to_the_same_rows(whole, run, tmp_path):
    def break_off(_event, share):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(SHIPPED, ATTACKS, tmp_path, on_event=break_off)
    before = len(finished_parts(tmp_path))
    resumed = run(SHIPPED, ATTACKS, tmp_path)
    assert 0 < before < len(finished_parts(tmp_path))
    assert_same_rows(whole, resumed, tracks=ATTACKS)


def test_a_run_broken_off_shows_gaps_for_what_it_did_not_reach(run, tmp_path):
    def break_off(event, _share):
        if event.finished and event.unit.track == "no-box":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["plain"], ["clean", "no-box"], tmp_path, on_event=break_off)
    rows = run(["plain"], ["clean"], tmp_path).rows("plain", "no-box")
    gaps = rows[rows.status == "gap"]
    assert len(gaps) == 12
    assert set(gaps.reason) == {"not run: the evaluation was interrupted"}
    assert not gaps.correct.any()


def test_a_run_broken_off_leaves_an_earlier_whole_file_as_it_was(run, tmp_path):
    run(["plain"], ["no-box"], tmp_path)
    file = tmp_path / "toy" / "plain" / "no-box.parquet"
    before = file.read_bytes()
    for part in finished_parts(tmp_path):
        part.unlink()

    def break_off(_event, _share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["plain"], ["no-box"], tmp_path, on_event=break_off)
    assert file.read_bytes() == before


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_its_unit_only_and_the_next_run_heals_it(whole, run, tmp_path):
    killed = []

    def kill(event, _share):
        if not killed and event.text == str(event.unit) and not event.finished:
            killed.append(event.unit)
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)

    broken = run(SHIPPED, ATTACKS, tmp_path, workers=2, on_event=kill)
    assert killed
    assert 1 <= len(broken.report.failures) <= 2
    assert all("worker process died (exit code -9)" in why for why in broken.report.failures.values())
    healed = run(SHIPPED, ATTACKS, tmp_path, workers=2)
    assert healed.report.failures == {}
    assert_same_rows(whole, healed, tracks=ATTACKS)


@pytest.mark.slow
def test_another_batch_size_changes_no_verdict(whole, run):
    other = run(SHIPPED, ATTACKS, batch_size=3)
    verdict = ["sample_id", "attack", "eps_255", "correct", "pred", "skipped", "broken_by", "queries"]
    for submission in SHIPPED:
        for track in ATTACKS:
            assert_frame_equal(whole.rows(submission, track)[verdict], other.rows(submission, track)[verdict])


def test_what_other_submissions_and_tracks_are_asked_for_changes_no_row(whole, run):
    alone = run(["jpeg"], ["adaptive"])
    assert_same_rows(whole, alone, ["jpeg"], ["adaptive"])


def test_a_second_run_computes_nothing(run, tmp_path, computed):
    run(["plain"], ["clean", "black-box"], tmp_path)
    first = len(computed)
    run(["plain"], ["clean", "black-box"], tmp_path)
    assert first == 5 + 3
    assert len(computed) == first


def test_only_deleted_and_truncated_parts_are_computed_anew(whole, run, tmp_path, computed):
    run(["plain"], ["clean", "white-box"], tmp_path)
    parts = finished_parts(tmp_path)
    deleted = next(path for path in parts if path.name.startswith("clean-002"))
    truncated = next(path for path in parts if path.name.startswith("white-box-001"))
    deleted.unlink()
    truncated.write_bytes(truncated.read_bytes()[:-100])
    computed.clear()
    again = run(["plain"], ["clean", "white-box"], tmp_path)
    # The white-box unit draws on the black-box part, which is there.
    assert sorted(computed) == ["plain/toy/clean/2", "plain/toy/white-box/1"]
    assert_same_rows(whole, again, ["plain"], ["clean", "white-box"])


def test_a_part_of_changed_code_is_not_taken(run, plant, tmp_path, computed):
    folder = plant("mine")
    before = run([folder], ["clean"], tmp_path / "results").rows("mine", "clean")
    (folder / "defense.py").write_text((folder / "defense.py").read_text() + "\n# one more line\n")
    computed.clear()
    after = run([folder], ["clean"], tmp_path / "results").rows("mine", "clean")
    assert len(computed) == 5
    assert set(before.submission_hash).isdisjoint(after.submission_hash)


def test_a_part_made_by_other_code_of_the_harness_is_not_taken(run, tmp_path, computed, monkeypatch):
    before = run(["plain"], ["clean"], tmp_path).rows("plain", "clean")
    computed.clear()
    for module in ("workplace", "rows"):
        monkeypatch.setattr(f"benchmark.engine.{module}.code_hash", lambda *_: "f" * 64)
    after = run(["plain"], ["clean"], tmp_path).rows("plain", "clean")
    assert len(computed) == 5
    assert set(before.made_by) == {code_hash(*code_of("clean"))[:16]}
    assert set(after.made_by) == {"f" * 16}


def test_a_part_of_another_matrix_is_not_taken(run, tmp_path, computed, monkeypatch):
    run(["plain"], ["clean"], tmp_path)
    computed.clear()
    honest = Workplace.__init__

    def other_matrix(self, settings):
        honest(self, settings)
        self.matrix_hash = "0" * 64

    monkeypatch.setattr(Workplace, "__init__", other_matrix)
    rows = run(["plain"], ["clean"], tmp_path).rows("plain", "clean")
    assert len(computed) == 5
    assert set(rows.matrix_hash) == {"0" * 64}


def test_parts_differ_by_everything_that_can_alter_a_row(root, tmp_path):
    def path_of(submission="plain", track="no-box", chunk=0, **settings):
        place = Workplace(RunSettings(root=root, results=tmp_path, data_dir=root / "data", limits=STEADY, **settings))
        return Store(place).path(rows_node(place, Unit(submission, "toy", track, chunk)))

    paths = [
        path_of(),
        path_of("jpeg"),
        path_of(track="black-box"),
        path_of(chunk=1),
        path_of(profile="quick"),
        path_of(limit=9),
        path_of(individual=True),
    ]
    assert len(set(paths)) == len(paths)
    assert path_of(batch_size=2) == path_of()


def part_names(root, results):
    """File names of the plain entry's first unit of each track."""
    place = Workplace(RunSettings(root=root, results=results, data_dir=root / "data", limits=STEADY))
    return {track: Store(place).path(rows_node(place, Unit("plain", "toy", track, 0))).name for track in TRACKS}


def test_other_training_images_renew_the_tracks_whose_attacks_fit_on_them(root, tmp_path, monkeypatch):
    before, whole = part_names(root, tmp_path), Workplace._training
    monkeypatch.setattr(Workplace, "_training", lambda place, dataset: whole(place, dataset).subset(range(4)))
    after = part_names(root, tmp_path)
    assert {track for track in TRACKS if before[track] != after[track]} == {"gray-box", "white-box", "adaptive"}


def test_a_changed_surrogate_renews_the_no_box_rows_only(root, tmp_path, monkeypatch):
    before = part_names(root, tmp_path)
    monkeypatch.setattr("benchmark.engine.workplace.surrogate_hash", lambda *_: "another")
    after = part_names(root, tmp_path)
    assert [track for track in TRACKS if before[track] != after[track]] == ["no-box"]


@pytest.mark.parametrize("casual", [{"limit": 5}, {"profile": "quick"}, {"individual": True}])
def test_a_casual_run_cannot_replace_official_rows(run, tmp_path, casual):
    official = run(["plain"], ["clean"], tmp_path)
    with pytest.raises(BenchError, match="holds official rows and this run is not official"):
        run(["plain"], ["clean"], tmp_path, **casual)
    assert official.rows("plain", "clean").official.all()


@pytest.mark.parametrize("casual", [{"limit": 5}, {"profile": "quick"}, {"individual": True}])
def test_rows_of_a_casual_run_are_not_official(run, casual):
    result = run(["plain"], ["clean", "white-box"], **casual)
    for track in ("clean", "white-box"):
        assert not result.rows("plain", track).official.any()


def test_rows_of_a_whole_run_are_official(whole):
    for submission in SHIPPED:
        for track in FILES:
            assert whole.rows(submission, track).official.all()


def test_a_limit_takes_so_many_images_of_the_official_subset(whole, run):
    limited = run(["plain"], ["clean", "black-box"], limit=5)
    official = set(whole.rows("plain", "black-box").sample_id)
    for track in ("clean", "black-box"):
        names = set(limited.rows("plain", track).sample_id)
        assert len(names) == 5
        assert names < official


def test_the_quick_profile_cuts_budgets_eps_and_severities(run):
    result = run(["plain"], ["corruption", "black-box"], profile="quick")
    attacked = result.rows("plain", "black-box")
    assert set(attacked.eps_255) == {2, 8}
    assert attacked.queries.max() <= 10
    assert attacked.sample_id.nunique() == 10
    corrupted = result.rows("plain", "corruption")
    assert set(corrupted.severity) == {5}
    assert corrupted.sample_id.nunique() == 2


def test_unknown_names_are_refused_with_a_hint(run):
    with pytest.raises(BenchError, match="Did you mean 'white-box'"):
        run(["plain"], ["whitebox"])
    with pytest.raises(BenchError, match="Did you mean 'plain'"):
        run(["plian"], ["clean"])


def test_a_missing_surrogate_is_told_before_any_work(run, root, tmp_path):
    weights = root / "datasets" / "toy" / "surrogates" / "vgg.safetensors"
    weights.rename(tmp_path / "elsewhere")
    try:
        with pytest.raises(BenchError, match=r"vgg\.safetensors is missing; restore it or retrain it"):
            run(["plain"], ["clean", "no-box"], tmp_path / "results")
    finally:
        (tmp_path / "elsewhere").rename(weights)
    assert not (tmp_path / "results").exists()


def test_progress_rises_to_one(run):
    shares = []
    run(["plain"], ["clean", "black-box"], on_event=lambda _, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1
