"""Data files on disk: where they lie, whether they are what the card says, and their arrays. Imports no torch."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.card import Card, DataFile, SplitName
from benchmark.data.hashes import file_digest
from benchmark.errors import BenchError
from benchmark.files import LFS_POINTER, is_lfs_pointer
from benchmark.root import Root, user_cache

Array = NDArray[Any]


def default_data_dir(root: Root | None = None) -> Path:
    """Return the data folder of a private board, else the one named by ``BENCH_DATA``, else the user's cache folder."""
    if root is not None and root.is_board:
        return root.data
    given = os.environ.get("BENCH_DATA", "")
    return Path(given).expanduser() if given else user_cache()


def folder_of(card: Card, data_dir: Path) -> Path:
    """Return where a data set's files lie: a set of several files has a folder of its own in the data folder."""
    return data_dir / card.name if card.loader in ("arrays", "folder") else data_dir


def checked_file(card: Card, data_dir: Path, name: str = "") -> Path:
    """Return the path of a data file after comparing its checksum.

    Args:
        card: the data set's card.
        data_dir: the data folder.
        name: one of the card's files; the first where not given.

    Raises:
        BenchError: the card lists no such file, or it is missing, a web page, truncated, or another file.
    """
    wanted = next((file for file in card.files if name in ("", file.name)), None)
    if wanted is None:
        raise BenchError(f"card '{card.name}' lists no file {name} under [[files]]; add it with its sha256.")
    path = folder_of(card, data_dir) / wanted.name
    if not path.is_file():
        raise BenchError(f"data set '{card.name}' needs {wanted.name} in {path.parent}; {wanted.how_to_get}.")
    try:
        # Before the checksum: a card may hold that of the pointer, made before the file was fetched.
        pointer = _starts_as_lfs_pointer(path)
        found = file_digest(path, "sha256")
        known = found in wanted.sha256 or (wanted.md5 is not None and file_digest(path, "md5") == wanted.md5)
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
        return f"is a web page saved as {path.suffix.removeprefix('.') or 'a file'}, not the data"
    if path.suffix == ".npz" and not start.startswith(b"PK"):
        return "is not an npz file"
    if path.suffix == ".npz" and b"PK\x05\x06" not in end:
        whole = f" of {wanted.bytes}" if wanted.bytes else ""
        return f"is truncated: it has {size}{whole} bytes and no end-of-archive record"
    listed = [f"sha256 {value[:12]}…" for value in wanted.sha256] + ([f"md5 {wanted.md5}"] if wanted.md5 else [])
    return (
        f"has the wrong checksum (sha256 {sha256[:12]}…, "
        f"accepted: {', '.join(listed)}), so it is damaged or another version"
    )


def _where(card: Card, split: SplitName) -> str:
    return f"data set '{card.name}', split '{split}'"


def check_images(card: Card, split: SplitName, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Compare the images' type and shape with the card.

    Raises:
        BenchError: they are neither uint8 nor uint16 as meant, or (N, height, width) or (N, height, width, channels)
            differs.
    """
    where = _where(card, split)
    channels, height, width = card.shape
    plain = (card.splits.of(split), height, width)
    wanted = plain if channels == 1 else (*plain, channels)
    deep = card.npz is not None and card.npz.bits == 16
    wants: tuple[np.dtype[Any], ...] = (np.dtype(np.uint16 if deep else np.uint8),)
    if card.loader in ("arrays", "folder"):
        wants = (np.dtype(np.uint8), np.dtype(np.uint16))
    way = "convert them, or give bits = 16 under [npz]" if card.npz and dtype == np.uint16 else "convert them"
    if dtype not in wants:
        names = " or ".join(f"{one} in 0 to {np.iinfo(one).max}" for one in wants)
        raise BenchError(f"{where}: images are {dtype} but must be {names}; {way}.")
    if shape not in (wanted, (*plain, channels)):
        raise BenchError(f"{where}: images are {shape} but the card says {wanted}; correct the card or the file.")


def check_labels(card: Card, split: SplitName, labels: Array) -> Array:
    """Compare labels with the card; return them as int64 (N,).

    Args:
        card: the data set's card.
        split: train, val or test.
        labels: integers, (N,) or (N, 1).

    Raises:
        BenchError: dtype, number or range of labels differ from the card.
    """
    where, count = _where(card, split), card.splits.of(split)
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
        BenchError: they are not uint8 (N, height, width) with values 0 and 1.
    """
    shape = (card.splits.of(split), card.height, card.width)
    if masks.dtype != np.uint8 or masks.shape != shape or masks.max() > 1:
        raise BenchError(
            f"{_where(card, split)}: masks are {masks.dtype} {masks.shape} but must be uint8 {shape} with values 0 and "
            "1; convert them."
        )
    return np.ascontiguousarray(masks)
