"""A unit is made anew from what its cells did before; only cells whose own code changed are run again."""

import pytest
from pandas.testing import assert_frame_equal

from benchmark.attacks.registry import place_of
from benchmark.engine import made_by
from benchmark.engine.cell_run import CellRun
from benchmark.engine.made_by import code_hash, code_of
from benchmark.engine.settings import CELLS, PARTS


@pytest.fixture
def edit(monkeypatch):
    """Change a module of the package, as its hash sees it: ``edit("attacks/square.py")``."""
    honest = made_by._content.__wrapped__
    edited = set()

    def content(path):
        return honest(path) + (b"\n# edited" if path.relative_to(made_by.PACKAGE).as_posix() in edited else b"")

    def _edit(name):
        edited.add(name)
        code_hash.cache_clear()

    monkeypatch.setattr(made_by, "_content", content)
    yield _edit
    code_hash.cache_clear()


@pytest.fixture
def attacked(monkeypatch):
    """Cells that really attack something, in their order."""
    names = []
    honest = CellRun.shots

    def spy(self, cell, eps, targets):
        names.append(f"{self._unit.track}/{cell.name}")
        return honest(self, cell, eps, targets)

    monkeypatch.setattr(CellRun, "shots", spy)
    return names


def test_an_edited_attack_is_run_again_and_no_other(run, tmp_path, edit, attacked):
    before = run(["plain"], ["black-box", "white-box"], tmp_path)
    rows = {track: before.identity("plain", track) for track in ("black-box", "white-box")}
    attacked.clear()
    edit("attacks/rays.py")
    after = run(["plain"], ["black-box", "white-box"], tmp_path)
    assert set(attacked) == {"black-box/rays"}
    for track, stored in rows.items():
        assert_frame_equal(after.identity("plain", track), stored)


@pytest.mark.slow
def test_an_edited_judge_runs_every_cell_again(run, tmp_path, edit, attacked):
    run(["plain"], ["white-box"], tmp_path)
    first = list(attacked)
    attacked.clear()
    edit("judge.py")
    run(["plain"], ["white-box"], tmp_path)
    assert attacked == first


@pytest.mark.slow
def test_an_edited_corruption_leaves_attacks_and_clean_rows_alone(run, tmp_path, edit):
    tracks = ("clean", "corruption", "black-box")
    before = {track: run(["plain"], [track], tmp_path).rows("plain", track).made_by.unique() for track in tracks}
    edit("corruption/blur.py")
    after = {track: run(["plain"], [track], tmp_path).rows("plain", track).made_by.unique() for track in tracks}
    assert {track for track in tracks if set(before[track]) != set(after[track])} == {"corruption"}


def test_a_row_names_the_code_of_its_own_cell(whole):
    rows = whole.rows("plain", "black-box")
    for attack in ("square", "rays"):
        own = code_hash(*code_of("black-box"), place_of(attack))[:16]
        assert set(rows[rows.attack == attack].made_by) == {own}


def test_a_unit_broken_off_goes_on_with_the_cell_that_it_was_at(whole, run, tmp_path, attacked, monkeypatch):
    class Broken(BaseException):
        pass

    def break_off(self, cell, eps, targets):
        if cell.name == "rays":
            raise Broken
        return honest(self, cell, eps, targets)

    honest = CellRun.shots
    with monkeypatch.context() as patch:
        patch.setattr(CellRun, "shots", break_off)
        broken = run(["plain"], ["black-box"], tmp_path)
    assert len(broken.report.failures) == 3
    attacked.clear()
    resumed = run(["plain"], ["black-box"], tmp_path)
    assert set(attacked) == {"black-box/rays"}
    assert_frame_equal(resumed.identity("plain", "black-box"), whole.identity("plain", "black-box"))


def test_what_failed_is_tried_again(run, tmp_path, edit, attacked, monkeypatch):
    def fail(*_args):
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(CellRun, "answer", fail)
        gaps = run(["plain"], ["black-box"], tmp_path).rows("plain", "black-box")
    assert (gaps.status == "gap").any()
    assert not (tmp_path / CELLS).exists()
    for part in (tmp_path / PARTS).rglob("*.parquet"):
        part.unlink()
    assert (run(["plain"], ["black-box"], tmp_path).rows("plain", "black-box").status == "ok").all()


def test_a_damaged_file_of_a_cell_is_made_anew(run, whole, tmp_path):
    run(["plain"], ["black-box"], tmp_path)
    for file in (*(tmp_path / CELLS).rglob("*.parquet"), *(tmp_path / PARTS).rglob("*.parquet")):
        file.write_bytes(file.read_bytes()[:-20])
    assert_frame_equal(
        run(["plain"], ["black-box"], tmp_path).identity("plain", "black-box"), whole.identity("plain", "black-box")
    )
