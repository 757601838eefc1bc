"""Data files on disk: where they lie, whether they are what the card says, and their arrays. Imports no torch."""

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.card import Card, DataFile, SplitName
from benchmark.errors import BenchError
from benchmark.files import LFS_POINTER, is_lfs_pointer
from benchmark.root import user_cache

Array = NDArray[Any]


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
        # Before the checksum: a card may hold that of the pointer, made before the file was fetched.
        pointer = _starts_as_lfs_pointer(path)
        found = _digest(path, "sha256")
        known = found in wanted.sha256 or (wanted.md5 is not None and _digest(path, "md5") == wanted.md5)
        what = "" if known else _what_it_is(path, wanted, found)
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror}); correct its permissions.") from None
    if pointer:
        raise BenchError(f"{path} {LFS_POINTER}, or delete it and {wanted.how_to_get}.")
    if known:
        return path
    raise BenchError(f"{path} {what}; delete it and {wanted.how_to_get}.")


def _starts_as_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return is_lfs_pointer(file.read(1024))


def _digest(path: Path, algorithm: str) -> str:
    """Hash a file piece by piece: the largest sets have more bytes than a small machine has memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()


def _what_it_is(path: Path, wanted: DataFile, sha256: str) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(1024)
        # The end-of-archive record is at most 22 bytes plus a 64 KiB comment from the end.
        file.seek(max(0, size - (22 + 65535)))
        end = file.read()
    if not size:
        return "is empty"
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
        return "is a web page saved as npz, not the data"
    if not start.startswith(b"PK"):
        return "is not an npz file"
    if b"PK\x05\x06" not in end:
        whole = f" of {wanted.bytes}" if wanted.bytes else ""
        return f"is truncated: it has {size}{whole} bytes and no end-of-archive record"
    listed = [f"sha256 {value[:12]}…" for value in wanted.sha256] + ([f"md5 {wanted.md5}"] if wanted.md5 else [])
    return (
        f"has the wrong checksum (sha256 {sha256[:12]}…, "
        f"accepted: {', '.join(listed)}), so it is damaged or another version"
    )


def read_arrays(path: Path, keys: dict[str, str]) -> dict[str, Array]:
    """Read arrays from an npz file; ``keys`` maps our names to the file's.

    Raises:
        BenchError: the file is no npz, or an array is missing, damaged, encrypted or readable with pickle only.
    """
    with path.open("rb") as file:
        start = file.read(6)
    if not start.startswith(b"PK"):
        what = "one npy array" if start == b"\x93NUMPY" else "not an npz file"
        raise BenchError(f"{path} is {what}; save the arrays by name with numpy.savez_compressed.")
    key = ""
    found: dict[str, Array] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in keys.values() if key not in archive.files]
            if missing:
                raise BenchError(
                    f"{path} has no array '{missing[0]}'; it holds {', '.join(archive.files) or 'none'}; "
                    "correct the card's [npz] table or the file."
                )
            for name, key in keys.items():
                found[name] = np.asarray(archive[key])
    except BenchError:
        raise
    except Exception as error:  # a damaged zip raises almost anything
        raise BenchError(f"{path}{f', array {key!r}' if key else ''} {_unreadable(error)}.") from None
    return found


def _unreadable(error: Exception) -> str:
    """Say why numpy could not read an array, and how to mend it."""
    told = " ".join(str(error).split())[:160]
    if "allow_pickle" in told:
        return "holds Python objects, which cannot be read without pickle; save it as plain numbers or text"
    if isinstance(error, RuntimeError) and "password" in told:
        return "is encrypted; save the file without a password"
    return f"cannot be read ({type(error).__name__}: {told}); save the file again with numpy.savez_compressed"


def _where(card: Card, split: SplitName) -> str:
    return f"data set '{card.name}', split '{split}'"


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
    where, count = _where(card, split), card.splits.of(split)
    shape = (count, card.size, card.size) if card.channels == 1 else (count, card.size, card.size, card.channels)
    if images.dtype != np.uint8:
        raise BenchError(f"{where}: images are {images.dtype} but must be uint8 in 0 to 255; convert them.")
    if images.shape not in (shape, (*shape, 1) if card.channels == 1 else shape):
        raise BenchError(f"{where}: images are {images.shape} but the card says {shape}; correct the card or the file.")
    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "iu":
        mend = "convert them"
        if labels.ndim == 2 and labels.shape[1] > 1:
            mend = (
                "of one-hot rows take the argmax; sets with several labels per image (multi-label) are not judged yet"
            )
        raise BenchError(
            f"{where}: labels are {labels.dtype} {labels.shape} but must be integers ({count},) or ({count}, 1); "
            f"{mend}."
        )
    # As Python's integers: the largest of uint64 would come out negative below.
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(card.classes):
        raise BenchError(
            f"{where}: labels range from {low} to {high} but the card lists {len(card.classes)} classes; "
            "correct the card's classes or the labels."
        )
    return labels.reshape(-1).astype(np.int64)


def checked_names(card: Card, split: SplitName, what: str, names: Array) -> tuple[str, ...]:
    """Return ids or groups as text.

    Args:
        card: the data set's card.
        split: train, val or test.
        what: ``ids`` or ``groups``, for the sentence of a refusal.
        names: text, bytes in UTF-8 or integers, (N,) or (N, 1).

    Raises:
        BenchError: another dtype or shape, bytes that are not UTF-8, or a name that is empty or no valid text.
    """
    where = f"{_where(card, split)}: {what}"
    if names.dtype.kind not in "USiu" or names.shape not in ((len(names.ravel()),), (len(names.ravel()), 1)):
        raise BenchError(
            f"{where} are {names.dtype} {names.shape} but must be text or integers, one for each image; convert them."
        )
    plain = names.reshape(-1).tolist()
    try:
        told = tuple(name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in plain)
        for name in told:
            name.encode("utf-8")
    except UnicodeError:
        raise BenchError(f"{where} hold text that is not valid UTF-8; save them as text.") from None
    if "" in told:
        raise BenchError(f"{where} have an empty name at index {told.index('')}; each image needs one.")
    return told


def check_masks(card: Card, split: SplitName, masks: Array) -> Array:
    """Return masks as they are when they fit the card.

    Raises:
        BenchError: they are not uint8 (N, size, size) with values 0 and 1.
    """
    shape = (card.splits.of(split), card.size, card.size)
    if masks.dtype != np.uint8 or masks.shape != shape or masks.max() > 1:
        raise BenchError(
            f"{_where(card, split)}: masks are {masks.dtype} {masks.shape} but must be uint8 {shape} with values 0 and "
            "1; convert them."
        )
    return np.ascontiguousarray(masks)
