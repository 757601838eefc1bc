"""``bench new``: a scaffold passes the contract as it is, and appears whole or not at all."""

import re
from pathlib import Path

import pytest

from benchmark.data.availability import find_card
from benchmark.errors import BenchError
from benchmark.root import Root, find_root
from benchmark.submission import find_entry
from benchmark.submission import scaffold as module
from benchmark.submission.contract import check_submission
from benchmark.submission.manifest import read_manifest
from benchmark.submission.scaffold import scaffold
from benchmark.training.recipe import read_recipe


def test_a_scaffold_passes_the_contract_as_it_is(project: Root, tmp_path: Path) -> None:
    folder = scaffold(tmp_path, "mine", [find_card("tiny", project)])
    report = check_submission(project, str(folder), data_dir=project.path / "data")
    assert report.passed, report.failures
    assert {c.name for c in report.checks if c.status != "ok"} <= {"normalisation"}


def test_its_recipe_is_one_that_bench_train_reads(project: Root, tmp_path: Path) -> None:
    folder = scaffold(tmp_path, "mine", [find_card("tiny", project)])
    assert read_recipe(folder / "recipe.toml").datasets == ["tiny"]


def test_two_scaffolds_have_the_same_weights(project: Root, tmp_path: Path) -> None:
    made = [scaffold(tmp_path / place, "mine", [find_card("tiny", project)]) for place in ("a", "b")]
    first, second = (read_manifest(folder).weights["tiny"].sha256 for folder in made)
    assert first == second


@pytest.mark.parametrize("name", ["", "x", "Mine", "my-entry", "../mine", "mine/", "9lives", "a" * 60, "näive"])
def test_a_bad_name_is_refused(name: str, project: Root, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="cannot be a submission's name; use"):
        scaffold(tmp_path, name, [find_card("tiny", project)])
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_and_kept(project: Root, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("weeks of it")
    with pytest.raises(BenchError, match="exists already"):
        scaffold(tmp_path, "mine", [find_card("tiny", project)])
    assert (tmp_path / "mine" / "work.txt").read_text() == "weeks of it"


def test_a_parent_that_is_a_file_is_refused(project: Root, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BenchError, match="is a file; give a folder"):
        scaffold(tmp_path / "file", "mine", [find_card("tiny", project)])


def test_a_data_set_given_twice_is_refused(project: Root, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="name each once"):
        scaffold(tmp_path, "mine", [find_card("tiny", project)] * 2)


def test_a_crash_half_way_leaves_nothing(project: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(module, "save_weights", crash)
    with pytest.raises(OSError, match="disk full"):
        scaffold(tmp_path, "mine", [find_card("tiny", project)])
    assert list(tmp_path.iterdir()) == []


def test_the_readmes_ten_lines_load_the_scaffolds_weights(tmp_path: Path) -> None:
    readme = (find_root().path / "README.md").read_text("utf-8")
    code = re.search(r"```python\n(# submissions/my_defense/defense\.py\n.*?)```", readme, re.DOTALL)
    card = find_card("synthetic_cxr", find_root())
    folder = scaffold(tmp_path, "my_defense", [card])
    (folder / "defense.py").write_text(code.group(1))
    assert len(find_entry(find_root(), str(folder)).build(card).stages) == 1
