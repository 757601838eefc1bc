"""The place of a weight file: what lies there is replaced only by leave, and is kept beside the new one."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import BenchError
from benchmark.files import write_atomically
from benchmark.submission.records import companions, read_record, record_path

KEPT = ".kept"
"""Ending of kept files; no entry's weights have it."""


def sha256_at(path: Path) -> str | None:
    """Hex digest of a file; None where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def keep(path: Path) -> Path:
    """Copy a file beside itself as ``NAME.<first 12 digits of its sha256>.kept`` and return where the copy lies.

    A name stands for one content: another file's name is never taken, and the same content is copied once.
    """
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    names = (path.with_name(f"{path.name}.{digest[:length]}{KEPT}") for length in range(12, len(digest) + 1))
    kept = next(name for name in names if not os.path.lexists(name) or _holds(name, content))
    if not kept.exists():
        write_atomically(kept, content)
    return kept


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def check_writable(path: Path) -> None:
    """Tell early that a file cannot be written.

    Raises:
        BenchError: it is a folder or a link to nothing, or its folder is a file or may not be written to.
    """
    if path.is_dir():
        raise BenchError(f"{path} is a folder, but a weight file is to be written there; remove or rename it.")
    if path.is_symlink() and not path.exists():
        raise BenchError(f"{path} is a link to a file that is not there; restore that file or remove the link.")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise BenchError(f"{folder} is a file, so {path} cannot be written; choose another folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BenchError(f"{folder} cannot be written to; correct its permissions or choose another folder.")


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        path: the file; not the one that was asked for where another file had come there.
        sha256: of the file.
        replaced: sha256 of what lay there before; None where nothing did.
        kept: copies of what was replaced.
    """

    path: Path
    sha256: str
    replaced: str | None
    kept: tuple[Path, ...]


class _Changed(Exception):
    """A file became another one while its successor was being written."""


def write_weights(path: Path, content: bytes, found: str | None, may_go: Callable[[str], bool]) -> Written:
    """Write a weight file; nothing that lay in its place is lost.

    Args:
        path: where it goes.
        content: of the file.
        found: sha256 of what lay there when the user gave leave to replace it, or None where nothing did. If another
            file lies there by now, it stays, and the new one goes beside it under a name with its own sha256.
        may_go: whether a file with that sha256 needs no copy and no leave.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    while True:
        state, there = _state_of(path), sha256_at(path)
        disposable = there is None or there == sha256 or may_go(there)
        if there != found and not disposable:
            aside = path.with_name(f"{path.stem}.{sha256[:12]}{path.suffix}")
            write_atomically(aside, content)
            return Written(aside, sha256, None, ())
        kept = () if disposable else (keep(path),)

        def unchanged(before: tuple[int, ...] | None = state) -> None:
            if _state_of(path) != before:
                raise _Changed

        try:
            write_atomically(path, content, unchanged)
        except _Changed:
            continue
        return Written(path, sha256, there, kept)


def clear_companions(written: Written) -> tuple[Path, ...]:
    """Remove log, curve and record that tell of another weight file than the one just written.

    Those of a file that went without a copy go with it; all others are kept, and their copies returned.
    """
    there = [path for path in companions(written.path) if path.is_file()]
    record = read_record(record_path(written.path)) or {}
    if record.get("sha256") == written.sha256:
        return ()
    of_disposable = written.replaced is not None and not written.kept and record.get("sha256") == written.replaced
    kept = () if of_disposable else tuple(keep(path) for path in there)
    for path in there:
        path.unlink()
    return kept


def _state_of(path: Path) -> tuple[int, ...] | None:
    """What changes whenever a file is written anew; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
