"""Broken weight files, code, data files and cards: one sentence, exit code 2, and nothing written is lost."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from torch import nn

from benchmark.submission.weights import save_weights


class Answer(Protocol):
    """What a command answered; see conftest."""

    code: int
    out: str
    err: str
    sentence: str


Bench = Callable[..., Answer]
MANIFEST = "submissions/mine/submission.toml"
WEIGHTS = "submissions/mine/weights/synthetic_cxr.safetensors"


def put_weights(project: Path, content: bytes) -> None:
    """Put other bytes in place of the weights and their checksum in the manifest."""
    before = hashlib.sha256((project / WEIGHTS).read_bytes()).hexdigest()
    (project / WEIGHTS).write_bytes(content)
    text = (project / MANIFEST).read_text().replace(before, hashlib.sha256(content).hexdigest())
    (project / MANIFEST).write_text(text)


def earlier_rows(project: Path) -> Path:
    """Rows of an earlier run, which a refused one must leave alone."""
    rows = project / "results" / "synthetic_cxr" / "mine" / "clean.parquet"
    rows.parent.mkdir(parents=True)
    rows.write_bytes(b"rows of an earlier run")
    return rows


def evaluate(bench: Bench, project: Path, dataset: str = "synthetic_cxr") -> Answer:
    return bench(
        *("--root", project, "evaluate", "mine", "-d", dataset, "-t", "clean", "--limit", 2, "--workers", 1),
        *("--results", project / "results", "--no-site"),
    )


def refuses_and_keeps_rows(bench: Bench, project: Path, words: str) -> None:
    rows = earlier_rows(project)
    assert words in evaluate(bench, project).sentence
    assert rows.read_bytes() == b"rows of an earlier run"
    assert [path for path in (project / "results").rglob("*") if path.is_file()] == [rows]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a safetensors file"),
        (b"<html>not found</html>", "is not a safetensors file"),
        (b"PK\x03\x04 a pickled checkpoint", "is not a safetensors file"),
        (b"\xff" * 64, "is not a safetensors file"),
    ],
)
def test_a_weight_file_that_is_none_is_refused(content: bytes, words: str, bench: Bench, project: Path) -> None:
    put_weights(project, content)
    refuses_and_keeps_rows(bench, project, words)


def test_a_missing_weight_file_is_refused(bench: Bench, project: Path) -> None:
    (project / WEIGHTS).unlink()
    refuses_and_keeps_rows(bench, project, "is missing; restore it")


def test_a_truncated_weight_file_is_refused(bench: Bench, project: Path) -> None:
    put_weights(project, (project / WEIGHTS).read_bytes()[:-100])
    refuses_and_keeps_rows(bench, project, "is not a safetensors file")


def test_a_weight_file_with_another_checksum_is_refused(bench: Bench, project: Path) -> None:
    (project / WEIGHTS).write_bytes((project / WEIGHTS).read_bytes() + b"\0")
    refuses_and_keeps_rows(bench, project, "but the manifest says")


def test_weights_of_another_architecture_are_refused(bench: Bench, project: Path, tmp_path: Path) -> None:
    save_weights(nn.Linear(3, 3), tmp_path / "w.safetensors")
    put_weights(project, (tmp_path / "w.safetensors").read_bytes())
    refuses_and_keeps_rows(bench, project, "build the architecture that the weights were trained with")


def test_weights_that_are_not_finite_are_refused(bench: Bench, project: Path, tmp_path: Path) -> None:
    network = nn.Linear(3, 3)
    nn.init.constant_(network.weight, float("inf"))
    save_weights(network, tmp_path / "w.safetensors")
    put_weights(project, (tmp_path / "w.safetensors").read_bytes())
    refuses_and_keeps_rows(bench, project, "not finite")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def build(context:\n", "cannot be imported: SyntaxError"),
        ("import no_such_thing\n", "cannot be imported: ModuleNotFoundError"),
        ("def make(context): ...\n", "has no function 'build'"),
        ("def build(context):\n    return 1 / 0\n", "failed with ZeroDivisionError"),
        ("def build(context):\n    return None\n", "returned NoneType; return a Defense"),
        ("raise SystemExit\n", "cannot be imported: SystemExit"),
    ],
)
def test_code_that_does_not_build_is_refused(code: str, words: str, bench: Bench, project: Path) -> None:
    (project / "submissions" / "mine" / "defense.py").write_text(code)
    refuses_and_keeps_rows(bench, project, words)


def test_an_entry_that_breaks_the_contract_gets_no_official_rows_but_may_be_looked_at(
    bench: Bench, project: Path
) -> None:
    rows = earlier_rows(project)
    text = (project / MANIFEST).read_text()
    (project / MANIFEST).write_text(text.replace("stochastic = false", "stochastic = true"))
    options = ("-d", "synthetic_cxr", "-t", "clean", "--workers", 1, "--results", project / "results", "--no-site")
    told = bench("--root", project, "evaluate", "mine", *options).sentence
    assert "'mine' breaks the contract on synthetic_cxr (determinism: " in told
    assert "mend it ('bench validate mine' tells all)" in told
    assert rows.read_bytes() == b"rows of an earlier run"
    assert bench("--root", project, "evaluate", "mine", *options, "--profile", "quick", "--limit", 2).code == 0


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, test_images=np.zeros((4, 28, 28), np.uint8), test_labels=np.zeros((4, 1), np.uint8))
    return stream.getvalue()


DATA = {
    "missing": (None, "needs pneumoniamnist.npz in"),
    "empty": (b"", "is empty; delete it and run 'bench datasets prepare pneumoniamnist'"),
    "a web page": (b"<!doctype html><title>404</title>", "is a web page saved as npz"),
    "truncated": (npz()[:-40], "is truncated"),
    "another file": (npz(), "has the wrong checksum"),
    "not npz": (b"\x89PNG....", "is not an npz file"),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "is a Git LFS pointer, not the file; run 'git lfs pull'",
    ),
}


@pytest.mark.parametrize("case", DATA)
def test_a_broken_data_file_is_refused_by_evaluate(case: str, bench: Bench, project: Path) -> None:
    content, words = DATA[case]
    if content is not None:
        (project / "data" / "pneumoniamnist.npz").write_bytes(content)
    assert words in evaluate(bench, project, "pneumoniamnist").sentence


@pytest.mark.parametrize("case", [case for case in DATA if case != "missing"])
def test_a_broken_data_file_is_refused_by_prepare_and_kept(case: str, bench: Bench, project: Path) -> None:
    content, words = DATA[case]
    path = project / "data" / "pneumoniamnist.npz"
    path.write_bytes(content or b"")
    assert words in bench("--root", project, "datasets", "prepare", "pneumoniamnist").sentence
    assert path.read_bytes() == (content or b"")


def test_a_set_that_cannot_be_fetched_says_how_to_make_it(bench: Bench, project: Path) -> None:
    assert "challenge.isic-archive.com" in bench("--root", project, "datasets", "prepare", "isic2017_64").sentence


def test_a_broken_data_file_shows_in_the_listing(bench: Bench, project: Path) -> None:
    (project / "data" / "pneumoniamnist.npz").write_bytes(b"<html>")
    answer = bench("--root", project, "datasets")
    assert answer.code == 0
    assert "is a web page saved as npz" in answer.out


CARDS = {
    "unknown field": ('title = "Pneu', 'titel = "Pneu', "field 'titel' is unknown. Did you mean 'title'?"),
    "no TOML": ('task = "binary"', "task = binary", "is not valid TOML"),
    "unknown loader": ('loader = "medmnist"', 'loader = "dicom"', "field 'loader'"),
    "two channels": ("channels = 1", "channels = 2", "field 'channels'"),
    "a path for a file": ('name = "pneumoniamnist.npz"', 'name = "../x.npz"', "must be a plain file name"),
    "binary with three classes": (
        '["normal", "pneumonia"]',
        '["normal", "pneumonia", "other"]',
        "task is binary but 3 classes",
    ),
    "another name": ('name = "pneumoniamnist"', 'name = "pneumonia"', "make them equal"),
    "too many official images": ("count = 256", "count = 9999", "lower it"),
    "ids file gone": ('ids_file = "official_ids.txt"', 'ids_file = "gone.txt"', "restore it"),
}


@pytest.mark.parametrize("case", CARDS)
@pytest.mark.parametrize("command", ["evaluate", "datasets"])
def test_a_broken_card_is_refused(command: str, case: str, bench: Bench, project: Path) -> None:
    old, new, words = CARDS[case]
    path = project / "datasets" / "pneumoniamnist" / "dataset.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    answer = evaluate(bench, project, "pneumoniamnist") if command == "evaluate" else bench("--root", project, command)
    assert words in answer.sentence
    if command == "datasets":
        assert "synthetic_cxr" in answer.out
