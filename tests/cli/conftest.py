"""The command line, run in this process, and a project of its own with the real cards."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark.cli.app import main
from benchmark.data.availability import find_card
from benchmark.root import Root
from benchmark.submission.scaffold import scaffold

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one sentence of a refusal.

        Raises:
            AssertionError: the command was not refused with exit code 2, one sentence on stderr and no traceback.
        """
        lines = self.err.splitlines()
        assert self.code == 2, self
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert lines[0].endswith((".", "?"))
        assert "Traceback" not in self.out + self.err
        return lines[0].removeprefix("error: ")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Answer]:
    """Return a function that runs ``bench`` with arguments, in an empty current folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        assert isinstance(code, int)
        return Answer(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def _entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scaffolded submission, made once."""
    cards = [find_card(name, Root(PROJECT)) for name in ("synthetic_cxr", "pneumoniamnist")]
    return scaffold(tmp_path_factory.mktemp("entries"), "mine", cards)


@pytest.fixture
def project(tmp_path: Path, _entry: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the real cards and the submission ``mine``; there are no data files."""
    path = tmp_path / "project"
    (path / "submissions").mkdir(parents=True)
    (path / "BENCHMARK.md").write_text("rules\n")
    for card in sorted(PROJECT.glob("datasets/*/*.t*")):
        target = path / card.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(card, target)
    shutil.copytree(_entry, path / "submissions" / "mine")
    (path / "data").mkdir()
    monkeypatch.setenv("BENCH_DATA", str(path / "data"))
    return path
