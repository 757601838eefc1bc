"""Where cards, submissions and official results are found."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import BenchError
from benchmark.files import write_atomically

_BUNDLED = Path(__file__).parent / "_bundled"
_SOURCE = Path(__file__).resolve().parents[1]
"""The checkout, where the package is installed from one for development."""


BOARD = "board.toml"
"""File that makes a folder a private board."""


def user_cache() -> Path:
    """Return the user's own folder for data: ``$XDG_CACHE_HOME/medrobustbench``, else ``~/.cache/medrobustbench``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "medrobustbench"


def fetched_project() -> Path:
    """Return the folder in which ``bench fetch`` puts the official rows and all entries."""
    return user_cache() / "project"


@dataclass(frozen=True)
class Root:
    """A folder that holds ``datasets/``, ``submissions/`` and ``leaderboard/results/``.

    Attributes:
        path: the folder.
        installed: whether it came with the package instead of being the user's: neither given nor at or above the
            current folder. Entries and weights are read from it, and none are written into it.
    """

    path: Path
    installed: bool = field(default=False, compare=False)

    @property
    def datasets(self) -> Path:
        """Folder of data set cards."""
        return self.path / "datasets"

    @property
    def submissions(self) -> Path:
        """Folder of entries."""
        return self.path / "submissions"

    @property
    def official_results(self) -> Path:
        """Folder of the committed official rows."""
        return self.path / "leaderboard" / "results"

    @property
    def official_records(self) -> Path:
        """Folder of the board that was computed from them."""
        return self.path / "leaderboard" / "records"

    @property
    def is_board(self) -> bool:
        """Whether this is somebody's private board, which keeps its data inside."""
        return (self.path / BOARD).is_file()

    @property
    def data(self) -> Path:
        """Data folder of a private board."""
        return self.path / "data"

    @property
    def results(self) -> Path:
        """Folder of the user's own rows: inside a private board, else ``results`` in the current folder."""
        return self.path / "results" if self.is_board else Path("results")

    @property
    def site(self) -> Path:
        """Folder of the site, likewise."""
        return self.path / "site" if self.is_board else Path("site")

    def refuse_writing(self, folder: Path, remedy: str) -> None:
        """Refuse a folder of the installed package.

        Raises:
            BenchError: ``folder`` lies in an installed root; the sentence ends with ``remedy``.
        """
        if self.installed and folder.resolve().is_relative_to(self.path.resolve()):
            raise BenchError(f"{folder} belongs to the installed package, where no file is changed; {remedy}")


def is_root(path: Path) -> bool:
    """Whether a folder has what a project or a private board needs."""
    told = (path / "BENCHMARK.md").is_file() or (path / BOARD).is_file()
    return told and (path / "datasets").is_dir() and (path / "submissions").is_dir()


def open_board(folder: Path, make: bool = False) -> Root:
    """Return a private board, which keeps one's own data, entries, results and site together.

    Args:
        folder: of the board.
        make: make it where there is none yet.

    Raises:
        BenchError: there is none, or the folder is a project or holds something else.
    """
    if (folder / BOARD).is_file():
        return Root(folder.resolve())
    if is_root(folder):
        raise BenchError(f"--board {folder} is the benchmark itself; give a folder of its own for your board.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BenchError(f"--board {folder} is no board ({BOARD} is missing) and not empty; give a new folder.")
    if not make:
        raise BenchError(f"there is no board {folder}; 'bench datasets import FOLDER --board {folder}' makes one.")
    for name in ("datasets", "submissions", "data"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_atomically(folder / ".gitignore", b"/data/\n/results/\n/site/\n")
    write_atomically(folder / BOARD, f'title = "{folder.resolve().name}"\n'.encode())
    return Root(folder.resolve())


def find_root(given: Path | None = None, start: Path | None = None) -> Root:
    """Find the project's root: ``given``, or one at or above ``start`` (the current folder), or what was fetched.

    Without any of these it is what came with the package.

    Raises:
        BenchError: ``given`` is not a root, or nothing was found.
    """
    if given is not None:
        if not is_root(given):
            raise BenchError(
                f"--root {given} has no datasets/, submissions/ and BENCHMARK.md; give the project's folder."
            )
        return Root(given.resolve(), installed=given.resolve() == _BUNDLED.resolve())
    try:
        here = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise BenchError("the current folder does not exist any more; change to one that does.") from None
    for folder in (here, *here.parents):
        if is_root(folder):
            return Root(folder, installed=folder == _BUNDLED.resolve())
    # A checkout that is installed for development is more than what was fetched, that is more than the package's own.
    for folder in (_SOURCE, fetched_project(), _BUNDLED):
        if is_root(folder):
            return Root(folder, installed=True)
    raise BenchError(
        "no project found from here upward and none bundled; run inside the project or give --root FOLDER."
    )
