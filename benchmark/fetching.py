"""``bench fetch``: the whole official board, its rows and all entries, from a checkout or an archive of one.

The installed package carries the board's numbers and four entries; rows and weights of the others weigh three times as
much as everything else.
"""

import shutil
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast
from urllib.error import URLError
from urllib.parse import urlparse

from benchmark.errors import BenchError
from benchmark.root import fetched_project, is_root

PARTS = ("datasets", "submissions", "leaderboard/results", "leaderboard/records", "BENCHMARK.md")
"""What is taken of a project."""

MOST_BYTES = 4 * 1024**3
"""Largest sum of files that is taken from an archive."""

TIMEOUT = 60.0


@dataclass(frozen=True)
class Fetched:
    """Where the project is now, and how much came."""

    folder: Path
    files: int
    size: int


def fetch(source: str, target: Path | None = None) -> Fetched:
    """Copy the project's cards, entries, rows and board to ``target``; what was fetched before is replaced as a whole.

    Args:
        source: folder of a checkout; or path or address (http, https, file) of a .zip, .tar.gz, .tgz or .tar of one.
        target: folder to make; :func:`benchmark.root.fetched_project` when not given.

    Raises:
        BenchError: there is no such source, it holds no project or a file that points out of it, or the target cannot
            be written; then what was there stays.
    """
    target = target or fetched_project()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
        made = Path(scratch) / "project"
        made.mkdir()
        as_path = Path(source)
        if as_path.is_dir():
            _copy_checkout(as_path, made)
        else:
            with _opened(source, Path(scratch)) as archive:
                _unpack(archive, source, made)
        if not is_root(made):
            raise BenchError(
                f"{source} holds no project: datasets/, submissions/ and BENCHMARK.md are not all there; give a "
                "checkout of the benchmark or an archive of one."
            )
        files = [path for path in made.rglob("*") if path.is_file()]
        told = Fetched(target, len(files), sum(path.stat().st_size for path in files))
        _swap(made, target, Path(scratch) / "before")
    return told


def _copy_checkout(source: Path, made: Path) -> None:
    for part in PARTS:
        here = source / part
        if here.is_dir():
            shutil.copytree(here, made / part, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.part"))
        elif here.is_file():
            shutil.copyfile(here, made / part)


def _opened(source: str, scratch: Path) -> BinaryIO:
    """Open an archive: a local file, or one that is downloaded first."""
    scheme = urlparse(source).scheme
    if scheme in ("http", "https", "file"):
        local = scratch / "archive"
        try:
            with urllib.request.urlopen(source, timeout=TIMEOUT) as answer, local.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except (URLError, OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise BenchError(
                f"{source} cannot be fetched ({why}); check the address, or give a local archive."
            ) from None
        return local.open("rb")
    path = Path(source)
    if not path.is_file():
        raise BenchError(f"there is no {source}; give the folder of a checkout, or a path or address of an archive.")
    return path.open("rb")


def _unpack(archive: BinaryIO, source: str, made: Path) -> None:
    """Write the project's parts of an archive below ``made``; names and links that lead elsewhere are refused."""
    size = 0
    for name, content in _members(archive, source):
        place = _place(name, source)
        if place is None:
            continue
        size += len(content)
        if size > MOST_BYTES:
            raise BenchError(f"{source} unpacks to more than {MOST_BYTES // 1024**3} GiB; that is no such project.")
        path = made / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _members(archive: BinaryIO, source: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of an archive's files."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as files:
                for info in files.infolist():
                    if not info.is_dir():
                        yield info.filename, files.read(info)
            return
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tar:
            for member in tar:
                if member.isfile():
                    yield member.name, cast(BinaryIO, tar.extractfile(member)).read()
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, RuntimeError) as error:
        raise BenchError(f"{source} is no zip or tar archive that can be read ({error}); fetch it again.") from None


def _place(name: str, source: str) -> PurePosixPath | None:
    """Where a file of the archive belongs; None for one of no interest.

    Archives of code hosts have everything below one folder of the project's name.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise BenchError(f"{source} holds '{name}', which leads out of the archive; it is not to be trusted.")
    for candidate in (path, PurePosixPath(*path.parts[1:])):
        if any(candidate == PurePosixPath(part) or PurePosixPath(part) in candidate.parents for part in PARTS):
            return None if any(part.startswith(".") for part in candidate.parts) else candidate
    return None


def _swap(made: Path, target: Path, before: Path) -> None:
    """Put the new folder in the old one's place; a failure leaves the old one there."""
    if target.exists():
        target.rename(before)
    try:
        made.rename(target)
    except OSError:
        if before.exists():
            before.rename(target)
        raise
