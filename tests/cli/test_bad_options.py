"""Mistaken commands, options and values: one sentence, exit code 2."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest


class Answer(Protocol):
    """What a command answered; see conftest."""

    code: int
    out: str
    err: str
    sentence: str


Bench = Callable[..., Answer]

MISTAKES = {
    "nonsense": "No such command 'nonsense'",
    "evalute": "Did you mean 'evaluate'",
    "evaluate mine --limit 0": "'--limit'",
    "evaluate mine --limit many": "'--limit'",
    "evaluate mine --workers 0": "'--workers'",
    "evaluate mine --workers -2": "'--workers'",
    "evaluate mine --batch-size 0": "'--batch-size'",
    "evaluate mine --limt 3": "No such option: --limt",
    "evaluate mine --limit": "--limit",
    "evaluate mine --track x": "track 'x' is unknown. Known: adaptive, black-box, clean",
    "evaluate mine --track white-bx": "Did you mean 'white-box'?",
    "evaluate mine --dataset synthetic": "Did you mean 'synthetic_cxr'?",
    "evaluate mine --dataset dermamnist": "names none of the data sets dermamnist; choose one of its own",
    "evaluate --dataset dermamnist": "no shipped baseline names the data sets dermamnist",
    "evaluate mine --device cuda": "torch sees no CUDA device; choose --device cpu",
    "evaluate mine --device gpu": "device 'gpu' is unknown; choose cpu, cuda or cuda:N",
    "evaluate mine --profile fast": "the matrix has no profile 'fast'",
    "evaluate mine --device cuda:one": "device 'cuda:one' is unknown; choose cpu, cuda or cuda:N",
    "evaluate mine --devices all": "torch sees no CUDA device",
    "evaluate mine --devices first": "give all, or numbers such as 0,2",
    "evaluate mine --batch-pixels 0": "'--batch-pixels'",
    "evaluate mine --engine rya": "engine 'rya' is unknown. Did you mean 'ray'?",
    "evaluate mine --engine inline --workers 2": "--engine inline has one worker, not 2",
    "evaluate mine --address auto": "--address is for Ray; add --engine ray",
    "evaluate mine --num-gpus 0.5": "--num-gpus is for Ray",
    "evaluate mine --engine ray --device cuda:1": "Ray deals out GPUs itself; choose --device cuda",
    "evaluate myne": "submission 'myne' is neither a folder nor a name under",
    "evaluate ../mine": "is neither a folder nor a name",
    "evaluate mine --results {file}": "give a folder",
    "evaluate mine --results {file}/deep": "give a folder",
    "evaluate mine --data-dir {file}": "is a file; give the folder that holds the data files",
    "evaluate mine --data-dir {file}x": "does not exist; give the folder",
    "train nobody": "there is no recipe 'nobody'",
    "train mine --dataset dermamnist": "is not for data set 'dermamnist'",
    "train {file}": "there is no recipe",
    "new Mine": "cannot be a submission's name",
    "new ../mine": "cannot be a submission's name",
    "new mine": "exists already; choose another name or remove it",
    "new": "Missing argument",
    "new fresh --dataset pneumonia": "Did you mean 'pneumoniamnist'?",
    "new fresh --dir {file}": "is a file; give a folder",
    "new fresh -d synthetic_cxr -d synthetic_cxr": "name each once",
    "validate": "Missing argument",
    "validate myne": "Did you mean 'mine'?",
    "validate mine --dataset dermamnist": "does not name data set 'dermamnist'",
    "validate mine --data-dir {file}": "is a file; give the folder",
    "validate {file}": "is neither a folder nor a name",
    "datasets --data-dir {file}": "is a file; give the folder",
    "datasets prepare": "Missing argument",
    "datasets prepare chestxray": "there is no data set 'chestxray'",
    "datasets prepare synthetic_cxr --data-dir {file}": "is a file; give the folder",
    "datasets download": "No such command 'download'",
    "matrix --json --markdown": "exclude each other; give one",
    "matrix --cost --evidence": "--cost and --evidence exclude each other",
    "matrix --results here": "--results is for --cost and --evidence",
    "train natural --device tpu": "device 'tpu' is unknown; choose cpu, cuda or cuda:N",
    "train natural --device cuda": "torch sees no CUDA device; choose --device cpu",
    "evaluate mine --limit 2 --track clean --results {root}/leaderboard/results": "give a folder of your own",
    "evaluate mine --profile quick --results {root}/leaderboard/mine": "give a folder of your own",
    "evaluate mine --results {root}/submissions/mine": "give a folder of your own",
    "evaluate mine --limit 2 --track clean --results /proc/rows": "cannot be made",
    "compare --claims mine": "takes no submissions",
    "matrix --write": "matrix.md is missing; restore it",
    "matrix extra": "unexpected extra argument",
    "submissions --jsn": "No such option: --jsn",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_by_one_sentence(
    mistake: str, bench: Bench, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    file = project / "some_file"
    file.write_text("kept")
    before = sorted(project.rglob("*"))
    words = mistake.format(file=file, root=project).split()
    if words[0] == "evaluate" and "--limit" not in words and "--track" not in words:
        words += ["--limit", "1", "--track", "clean"]  # so that a mistake that is let through shows at once
    answer = bench("--root", project, *words)
    assert MISTAKES[mistake] in answer.sentence
    assert file.read_text() == "kept"
    assert sorted(project.rglob("*")) == before


def test_a_root_that_is_none_is_refused(bench: Bench, tmp_path: Path) -> None:
    assert "give the project's folder" in bench("--root", tmp_path / "nonsense", "matrix").sentence


def test_a_submission_folder_without_a_manifest_is_told_apart(bench: Bench, project: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no submission.toml" in bench("--root", project, "validate", tmp_path / "empty").sentence


def test_a_recipe_that_is_no_toml_is_refused(bench: Bench, project: Path) -> None:
    (project / "submissions" / "mine" / "recipe.toml").write_text("method = natural\n")
    assert "is not valid TOML" in bench("--root", project, "train", "mine").sentence


def test_a_recipe_that_is_no_text_is_refused(bench: Bench, project: Path) -> None:
    (project / "submissions" / "mine" / "recipe.toml").write_bytes(b"\xff\xfe")
    assert "is not valid TOML" in bench("--root", project, "train", "mine").sentence


def test_a_recipe_with_an_unknown_field_is_refused(bench: Bench, project: Path) -> None:
    path = project / "submissions" / "mine" / "recipe.toml"
    path.write_text("epoch = 3\n" + path.read_text())
    assert "Did you mean 'epochs'?" in bench("--root", project, "train", "mine").sentence


def test_a_folder_that_cannot_be_written_is_named(bench: Bench, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert "/somewhere: Permission denied" in bench("--root", project, "new", "fresh").sentence
