"""Where cards, submissions and official results are found."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import BenchError

_BUNDLED = Path(__file__).parent / "_bundled"


@dataclass(frozen=True)
class Root:
    """A folder that holds ``datasets/``, ``submissions/`` and ``leaderboard/results/``."""

    path: Path

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


def _is_root(path: Path) -> bool:
    return (path / "datasets").is_dir() and (path / "submissions").is_dir() and (path / "BENCHMARK.md").is_file()


def find_root(given: Path | None = None, start: Path | None = None) -> Root:
    """Find the project's root: ``given``, else from ``start`` (the current folder) upward, else the wheel's copies.

    Raises:
        BenchError: ``given`` is not a root, or nothing was found.
    """
    if given is not None:
        if not _is_root(given):
            raise BenchError(
                f"--root {given} has no datasets/, submissions/ and BENCHMARK.md; give the project's folder."
            )
        return Root(given.resolve())
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if _is_root(folder):
            return Root(folder)
    source = Path(__file__).resolve().parents[1]
    for folder in (_BUNDLED, source):
        if _is_root(folder):
            return Root(folder)
    raise BenchError(
        "no project found from here upward and none bundled; run inside the project or give --root FOLDER."
    )
