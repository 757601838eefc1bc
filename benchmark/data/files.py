"""Data files on disk: where they lie, whether they are what the card says, and their arrays. Imports no torch."""

import hashlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.card import Card, DataFile, SplitName
from benchmark.errors import BenchError
from benchmark.files import LFS_POINTER, is_lfs_pointer

Array = NDArray[Any]


def user_cache() -> Path:
    """Return the user's own folder for data: ``$XDG_CACHE_HOME/medrobustbench``, else ``~/.cache/medrobustbench``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "medrobustbench"


def default_data_dir() -> Path:
    """Return the folder named by the environment variable ``BENCH_DATA``, else the user's cache folder."""
    given = os.environ.get("BENCH_DATA", "")
    return Path(given).expanduser() if given else user_cache()


def checked_file(card: Card, data_dir: Path) -> Path:
    """Return the path of the card's one data file after comparing its checksum.

    Raises:
        BenchError: the file is missing, a web page, truncated, or another file than the card lists.
    """
    wanted = card.files[0]
    path = data_dir / wanted.name
    if not path.is_file():
        raise BenchError(f"data set '{card.name}' needs {wanted.name} in {data_dir}; {wanted.how_to_get}.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror}); correct its permissions.") from None
    if _matches(content, wanted):
        return path
    if is_lfs_pointer(content):
        raise BenchError(f"{path} {LFS_POINTER}, or delete it and {wanted.how_to_get}.")
    raise BenchError(f"{path} {_what_it_is(content, wanted)}; delete it and {wanted.how_to_get}.")


def _matches(content: bytes, wanted: DataFile) -> bool:
    if hashlib.sha256(content).hexdigest() in wanted.sha256:
        return True
    return wanted.md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() == wanted.md5


def _what_it_is(content: bytes, wanted: DataFile) -> str:
    if not content:
        return "is empty"
    if content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
        return "is a web page saved as npz, not the data"
    if not content.startswith(b"PK"):
        return "is not an npz file"
    # The end-of-archive record is at most 22 bytes plus a 64 KiB comment from the end.
    if b"PK\x05\x06" not in content[-(22 + 65535) :]:
        whole = f" of {wanted.bytes}" if wanted.bytes else ""
        return f"is truncated: it has {len(content)}{whole} bytes and no end-of-archive record"
    listed = [f"sha256 {value[:12]}…" for value in wanted.sha256] + ([f"md5 {wanted.md5}"] if wanted.md5 else [])
    return (
        f"has the wrong checksum (sha256 {hashlib.sha256(content).hexdigest()[:12]}…, "
        f"accepted: {', '.join(listed)}), so it is damaged or another version"
    )


def read_arrays(path: Path, keys: dict[str, str]) -> dict[str, Array]:
    """Read arrays from an npz file; ``keys`` maps our names to the file's.

    Raises:
        BenchError: an array is missing or cannot be read without pickle.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in keys.values() if key not in archive.files]
            if missing:
                raise BenchError(
                    f"{path} has no array '{missing[0]}'; it holds {', '.join(archive.files) or 'none'}; "
                    "correct the card's [npz] table or the file."
                )
            return {name: np.asarray(archive[key]) for name, key in keys.items()}
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise BenchError(f"{path} cannot be read as npz without pickle ({error}); save plain arrays.") from None


def check_arrays(card: Card, split: SplitName, images: Array, labels: Array) -> Array:
    """Compare images with the card; return the labels as int64 (N,).

    Args:
        card: the data set's card.
        split: train, val or test.
        images: uint8 (N, size, size) or (N, size, size, channels).
        labels: integers, (N,) or (N, 1).

    Raises:
        BenchError: dtype, shape, number of images or range of labels differ from the card.
    """
    where = f"data set '{card.name}', split '{split}'"
    count = card.splits.of(split)
    shape = (count, card.size, card.size) if card.channels == 1 else (count, card.size, card.size, card.channels)
    if images.dtype != np.uint8:
        raise BenchError(f"{where}: images are {images.dtype} but must be uint8 in 0 to 255; convert them.")
    if images.shape not in (shape, (*shape, 1) if card.channels == 1 else shape):
        raise BenchError(f"{where}: images are {images.shape} but the card says {shape}; correct the card or the file.")
    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "iu":
        raise BenchError(
            f"{where}: labels are {labels.dtype} {labels.shape} but must be integers ({count},) or ({count}, 1); "
            "convert them."
        )
    flat = labels.reshape(-1).astype(np.int64)
    if flat.min() < 0 or flat.max() >= len(card.classes):
        raise BenchError(
            f"{where}: labels range from {flat.min()} to {flat.max()} but the card lists {len(card.classes)} classes; "
            "correct the card's classes or the labels."
        )
    return flat
