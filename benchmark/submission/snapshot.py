"""What of an entry's folder is deployed on a data set: the files that its code can read, their hash, a copy of them.

An entry is built from a copy that holds these files and nothing else. So what the hash leaves out, no defense can read.
Imports no torch.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from benchmark.errors import BenchError
from benchmark.submission.manifest import Manifest, weights_path

ABOUT = (
    *("readme*", "license*", "licence*", "notice*", "citation*", "changelog*", "authors*"),
    *("submission.toml", "recipe*.toml", "*.log.csv", "*.curve.svg", "*.training.json", "*.part", "*.kept", "*.pyc"),
)
"""Names, in lower case, of files that tell of an entry or of its training: never deployed, in no hash.

Python files are code whatever they are called.
"""


@dataclass(frozen=True)
class Snapshot:
    """The deployed files of an entry on one data set.

    Attributes:
        name: of the entry.
        files: place in the copy, with ``/`` between folders -> where the file lies now.
        digest: sha256 over what the manifest says of building it, and over names and contents of the files.
    """

    name: str
    files: Mapping[str, Path]
    digest: str


def snapshot(folder: Path, manifest: Manifest, dataset: str) -> Snapshot:
    """Collect the deployed files of the entry in ``folder``.

    Weights that the manifest names for other data sets stay out; every other file counts, but for :data:`ABOUT` and
    hidden ones.

    Raises:
        BenchError: a link in place of a folder or of a deployed file, which another folder could change unseen, or a
            file that cannot be read.
    """
    named = manifest.weights.get(dataset)
    others = {weights.file for name, weights in manifest.weights.items() if name != dataset} - {named and named.file}
    files = {place: path for place, path in _files(folder, folder) if place not in others and not _tells(path.name)}
    for place, path in files.items():
        if path.is_symlink():
            raise _is_a_link(folder, place, "file")
    usual = f"weights/{dataset}.safetensors"
    if named is not None and named.entry:
        # A file of the entry's own in this place is not what its code is given.
        files[usual] = weights_path(folder, manifest, dataset)
    facts: tuple[object, ...] = (manifest.name, manifest.revision, manifest.task, manifest.entry_point)
    if named is not None and named.file not in ("", usual):
        facts += (named.file,)
    digest = hashlib.sha256(repr(facts).encode())
    for place in sorted(files):
        # Names need not be UTF-8; those that are give the same bytes as ever.
        digest.update(f"\0{place}\0{_sha256(files[place])}".encode(errors="surrogateescape"))
    return Snapshot(manifest.name, files, digest.hexdigest())


def is_deployed(path: Path, folder: Path) -> bool:
    """Whether a file of an entry's folder may be deployed at all, on one data set or another."""
    parts = path.relative_to(folder).parts
    return not any(_hidden(part) for part in parts) and not _tells(path.name)


def _tells(name: str) -> bool:
    name = name.lower()
    return not name.endswith(".py") and any(fnmatchcase(name, pattern) for pattern in ABOUT)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _files(folder: Path, where: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(where.iterdir()):
        if _hidden(path.name):
            continue
        place = path.relative_to(folder).as_posix()
        if path.is_dir():
            if path.is_symlink():
                raise _is_a_link(folder, place, "folder")
            yield from _files(folder, path)
        elif path.is_file() or path.is_symlink():
            yield place, path


def _is_a_link(folder: Path, place: str, what: str) -> BenchError:
    return BenchError(
        f"{place} in {folder} is a link; put the {what} itself there, so that the entry's hash covers it."
    )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        # The weights of another entry, say: who loads them has the better sentence.
        return "missing"
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror}); correct its permissions.") from None


_copies: dict[str, Path] = {}
"""Copies that this process has made, by digest."""


def copies() -> list[Path]:
    """The folders of all copies that this process has made."""
    return list(_copies.values())


def copied(shot: Snapshot) -> Path:
    """Return a folder of the entry's name that holds a copy of the files; made once a process, gone at its end.

    Raises:
        BenchError: a file has vanished, or the copy cannot be written.
    """
    if shot.digest not in _copies:
        top = Path(tempfile.mkdtemp(prefix="medrobustbench-"))
        _forget_at_exit(top)
        folder = top / shot.name
        folder.mkdir()
        for place, path in shot.files.items():
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(path, target)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise BenchError(f"{path} cannot be copied to {target} ({error.strerror}); make room there.") from None
        _copies[shot.digest] = folder
    return _copies[shot.digest]


def _forget_at_exit(top: Path) -> None:
    owner = os.getpid()

    def forget() -> None:
        # A process that an entry forks must not take the copy with it when it ends.
        if os.getpid() == owner:
            shutil.rmtree(top, ignore_errors=True)

    atexit.register(forget)
