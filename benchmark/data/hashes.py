"""Hashes of large data, taken once: kept in the user's cache under the identity of the file that they belong to."""

import contextlib
import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmark.files import write_atomically
from benchmark.root import user_cache

SETTLED_SECONDS = 2.0
"""Age from which a file's time stamp tells its versions apart: two writes within a clock's tick leave the same one."""


def file_identity(path: Path) -> str:
    """Return what tells one version of a file from every other on this machine: path, size, mtime in ns, inode.

    Empty for a file that was written a moment ago, whose next version may look the same.
    """
    found = path.stat()
    if time.time() - found.st_mtime < SETTLED_SECONDS:
        return ""
    return "\0".join((str(path.resolve()), str(found.st_size), str(found.st_mtime_ns), str(found.st_ino)))


def remembered(about: str, compute: Callable[[], str]) -> str:
    """Return a hash from the cache, else compute it and keep it.

    Args:
        about: all that decides the hash, such as :func:`file_identity` and what is hashed; empty: not to be kept.
        compute: returns a hash in hexadecimal digits.
    """
    if not about:
        return compute()
    place = user_cache() / "hashes" / hashlib.sha256(about.encode("utf-8", "surrogatepass")).hexdigest()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = place.read_text("ascii").strip()
        if kept and not kept.strip("0123456789abcdef"):
            return kept
    found = compute()
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the run
        write_atomically(place, found.encode())
    return found


def file_digest(path: Path, algorithm: str) -> str:
    """Hash a file piece by piece, or recall its hash: the largest sets have more bytes than a machine has memory."""

    def compute() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()

    identity = file_identity(path)
    return remembered(f"{algorithm}\0{identity}" if identity else "", compute)
