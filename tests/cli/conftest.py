"""The command line, run in this process, and a project of its own with the real cards."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.app import main
from benchmark.data.availability import find_card
from benchmark.root import Root
from benchmark.submission.scaffold import scaffold

from ..leaderboard.conftest import Pretend, rows_of, write

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


@pytest.fixture
def board(bench: Callable[..., Answer], tmp_path: Path) -> Callable[..., Callable[..., Answer]]:
    """Return a function that puts pretend entries on a board and gives ``bench`` on the project whose board it is.

    The project has the shipped cards and manifests, and no other rows than these.
    """

    def project_with(*members: Pretend | list[dict[str, Any]]) -> Callable[..., Answer]:
        path = tmp_path / "board"
        _copy(path, "datasets/*/*.t*", "submissions/*/submission.toml", "BENCHMARK.md")
        write(path / "leaderboard" / "results", rows_of(members))
        return lambda *arguments: bench("--root", path, *arguments)

    return project_with


def _copy(path: Path, *patterns: str) -> None:
    """Copy files of this project into another one."""
    for source in (found for pattern in patterns for found in sorted(PROJECT.glob(pattern))):
        target = path / source.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


@pytest.fixture
def installed(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as the copy that an installed package carries, with no checkout and nothing fetched."""
    monkeypatch.setattr("benchmark.root._BUNDLED", project)
    monkeypatch.setattr("benchmark.root._SOURCE", tmp_path / "no_checkout")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no_cache"))
    return project


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
    _copy(path, "datasets/*/*.t*")
    shutil.copytree(_entry, path / "submissions" / "mine")
    (path / "data").mkdir()
    monkeypatch.setenv("BENCH_DATA", str(path / "data"))
    return path


@pytest.fixture
def own(tmp_path: Path) -> Root:
    """The committed rows and folder of one entry, to be tampered with."""
    for place in ("datasets", "BENCHMARK.md"):
        source = PROJECT / place
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / place)
    shutil.copytree(PROJECT / "submissions" / "natural", tmp_path / "submissions" / "natural")
    rows = "leaderboard/results/synthetic_cxr/natural"
    shutil.copytree(PROJECT / rows, tmp_path / rows)
    return Root(tmp_path)
