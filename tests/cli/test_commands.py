"""The commands that list, scaffold and check, as a user meets them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from benchmark.matrix.model import load_matrix


class Answer(Protocol):
    """What a command answered; see conftest."""

    code: int
    out: str
    err: str
    sentence: str


Bench = Callable[..., Answer]
COMMANDS = ("evaluate", "new", "validate", "train", "submissions", "datasets", "datasets prepare", "matrix")
SOURCE = Path(__file__).resolve().parents[2]
CONSOLE = "import sys; from benchmark.cli.app import main; sys.argv[0] = 'bench'; sys.exit(main())"


def in_a_process(*arguments: str, python: str = CONSOLE) -> "subprocess.CompletedProcess[str]":
    """Run ``bench`` as the console script does, in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", python, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, bench: Bench) -> None:
    answer = bench(*command.split(), "--help")
    assert answer.code == 0
    assert f"Usage: bench {command}" in answer.out


def test_help_names_every_command(bench: Bench) -> None:
    answer = bench("--help")
    assert answer.code == 0
    assert all(re.search(rf"\b{command.split()[0]}\b", answer.out) for command in COMMANDS)


def test_bench_alone_shows_help(bench: Bench) -> None:
    assert "Usage: bench" in bench().out


def test_version_is_printed(bench: Bench) -> None:
    assert bench("--version").out.startswith("medrobustbench ")


@pytest.mark.parametrize("command", ["--help", "--version", "submissions", "datasets", "matrix", "matrix --markdown"])
def test_what_only_lists_imports_no_torch(command: str) -> None:
    guard = f"import sys; sys.modules['torch'] = None; {CONSOLE.removeprefix('import sys; ')}"
    done = in_a_process(*command.split(), python=guard)
    assert done.returncode == 0, done.stderr


def test_a_mistake_in_a_fresh_process_is_one_sentence_and_code_2() -> None:
    done = in_a_process("validate", "no_such_entry")
    assert done.returncode == 2
    assert done.stderr.startswith("error: submission 'no_such_entry' is neither")
    assert len(done.stderr.splitlines()) == 1


def test_submissions_lists_entries_as_table_and_json(bench: Bench, project: Path) -> None:
    assert "mine" in bench("--root", project, "submissions").out
    records = json.loads(bench("--root", project, "submissions", "--json").out)
    assert [record["name"] for record in records] == ["mine"]
    assert records[0]["datasets"] == ["synthetic_cxr", "pneumoniamnist"]
    assert records[0]["error"] is None


def test_a_broken_entry_does_not_hide_the_others(bench: Bench, project: Path) -> None:
    (project / "submissions" / "bad").mkdir()
    (project / "submissions" / "bad" / "submission.toml").write_text("name = 1\n")
    answer = bench("--root", project, "submissions", "--json")
    assert "submissions/bad/submission.toml" in answer.sentence
    assert {record["name"]: bool(record["error"]) for record in json.loads(answer.out)} == {"bad": True, "mine": False}


def test_no_submission_yet_says_how_to_make_one(bench: Bench, project: Path) -> None:
    (project / "submissions" / "mine").rename(project / "elsewhere")
    answer = bench("--root", project, "submissions")
    assert (answer.code, "bench new NAME" in answer.out) == (0, True)


def test_datasets_tells_what_is_missing_and_how_to_get_it(bench: Bench, project: Path) -> None:
    answer = bench("--root", project, "datasets")
    assert "run 'bench datasets prepare pneumoniamnist', or download https://" in answer.out
    records = {record["name"]: record for record in json.loads(bench("--root", project, "datasets", "--json").out)}
    assert records["synthetic_cxr"]["state"] == "available"
    assert records["isic2017_64"]["state"] == "missing"


def test_prepare_draws_the_synthetic_set(
    bench: Bench, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = project / "datasets" / "synthetic_cxr" / "dataset.toml"
    text = path.read_text()
    for old, new in (("train = 6000", "train = 4"), ("val = 600", "val = 4"), ("test = 1000", "test = 200")):
        text = text.replace(old, new)
    path.write_text(text)
    answer = bench("--root", project, "datasets", "prepare", "synthetic_cxr", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["state"] == "available"
    assert any((tmp_path / "cache").rglob("*"))


def test_matrix_shows_every_cell_version_hash_and_profile(bench: Bench) -> None:
    matrix, digest = load_matrix()
    out = bench("matrix").out
    assert all(cell.name in out and cell.track in out for cell in matrix.cell)
    assert f"version {matrix.version}, sha256 {digest}" in out
    assert all(f"profile {name}:" in out for name in matrix.profile)


def test_matrix_as_json_is_the_file(bench: Bench) -> None:
    matrix, digest = load_matrix()
    document = json.loads(bench("matrix", "--json").out)
    assert document["hash"] == digest
    assert [cell["name"] for cell in document["cell"]] == [cell.name for cell in matrix.cell]


def test_write_brings_the_rules_up_to_date_and_keeps_their_text(bench: Bench, project: Path) -> None:
    path = project / "docs" / "matrix.md"
    path.parent.mkdir()
    decides = "<!-- evidence:begin -->\n<!-- evidence:end -->"
    path.write_text(f"before\n<!-- matrix:begin -->\nold\n<!-- matrix:end -->\nbetween\n{decides}\nafter\n")
    assert "now shows" in bench("--root", project, "matrix", "--write").out
    text = path.read_text()
    assert bench("matrix", "--markdown").out.strip() in text
    assert text.startswith("before\n<!-- matrix:begin -->\n")
    assert "\n<!-- matrix:end -->\nbetween\n<!-- evidence:begin -->\n" in text
    assert "has no official rows yet" in text
    assert text.endswith("\n<!-- evidence:end -->\nafter\n")
    assert "already showed" in bench("--root", project, "matrix", "--write").out


def test_a_new_entry_is_listed_and_passes_validate(
    bench: Bench, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench("--root", project, "new", "fresh", "-d", "pneumoniamnist").code == 0
    assert "fresh" in bench("--root", project, "submissions").out
    answer = bench("--root", project, "validate", "fresh", "--json")
    report = json.loads(answer.out)
    assert (answer.code, report["passed"]) == (0, True)
    assert "random images" in report["images"]["pneumoniamnist"]
    assert "fresh: passed" in bench("--root", project, "validate", "fresh").out


def test_an_entry_outside_the_project_is_validated_by_its_path(bench: Bench, project: Path, tmp_path: Path) -> None:
    assert bench("--root", project, "new", "far", "-d", "pneumoniamnist", "--dir", tmp_path / "entries").code == 0
    assert bench("--root", project, "validate", tmp_path / "entries" / "far").code == 0


def files_under(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_outside_a_project_a_new_entry_is_made_in_the_current_folder(
    bench: Bench, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.root._BUNDLED", project)
    before = files_under(project)
    answer = bench("new", "fresh", "-d", "pneumoniamnist")
    made = tmp_path / "here" / "fresh"
    assert answer.code == 0, answer.err
    assert files_under(project) == before
    assert f"made {made}" in answer.out
    assert f"'bench validate {made}'" in answer.out
    assert f"'bench evaluate {made} --dataset pneumoniamnist'" in answer.out
    assert bench("validate", made).code == 0
    assert bench("validate", "fresh").code == 0


def test_outside_a_project_a_new_entry_goes_to_the_folder_that_is_given(
    bench: Bench, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.root._BUNDLED", project)
    assert bench("new", "far", "-d", "pneumoniamnist", "--dir", tmp_path / "entries").code == 0
    assert (tmp_path / "entries" / "far" / "submission.toml").is_file()


def test_inside_the_installed_package_no_entry_is_made(
    bench: Bench, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.root._BUNDLED", project)
    monkeypatch.chdir(project)
    before = files_under(project)
    assert "belongs to the installed package" in bench("new", "fresh", "-d", "pneumoniamnist").sentence
    assert files_under(project) == before


def test_a_folder_that_cannot_hold_a_new_entry_is_refused(
    bench: Bench, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    arguments = ("--root", project, "new", "fresh", "-d", "pneumoniamnist", "--dir")
    assert "give --dir FOLDER" in bench(*arguments, tmp_path / "file" / "below").sentence

    def refuse(**_: object) -> str:
        raise PermissionError(13, "Permission denied")

    # Root may write everywhere, so that taking the permission away would not do.
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    sentence = bench(*arguments, tmp_path / "entries").sentence
    assert f"no submission can be made in {tmp_path / 'entries'}" in sentence
    assert "Permission denied" in sentence


def test_a_current_folder_that_was_removed_is_told(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "here").rmdir()
    assert "the current folder does not exist any more" in bench("submissions").sentence
