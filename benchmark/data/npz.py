"""Arrays of npz files: small ones in memory, large ones mapped from disk. Imports no torch."""

import hashlib
import os
import shutil
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from benchmark.data.hashes import file_digest
from benchmark.errors import BenchError
from benchmark.root import user_cache

Array = NDArray[Any]

HELD_BYTES = 2**26
"""Largest array that is read into memory."""


def read_arrays(path: Path, keys: dict[str, str]) -> dict[str, Array]:
    """Read arrays from an npz file; ``keys`` maps our names to the file's. Large ones stay on disk.

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
                member = archive.zip.getinfo(f"{key}.npy")
                mapped = _mapped(path, archive.zip, member) if member.file_size > HELD_BYTES else None
                found[name] = np.asarray(archive[key]) if mapped is None else mapped
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


def _mapped(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array | None:
    """Map an array from disk: from the file itself where it is not compressed, else from a copy in the user's cache.

    None where it is encrypted or there is no room for a copy: then it is read into memory, which says what is wrong.
    """
    if member.flag_bits & 1:
        return None
    if member.compress_type == zipfile.ZIP_STORED:
        return _mapped_within(path, member)
    name = hashlib.sha256(f"{file_digest(path, 'sha256')}/{member.filename}".encode()).hexdigest()
    copy = user_cache() / "arrays" / f"{name}.npy"
    try:
        if not copy.is_file() or copy.stat().st_size != member.file_size:
            _extract(archive, member, copy)
    except OSError:
        return None
    mapped: Array = np.load(copy, mmap_mode="r", allow_pickle=False)
    return mapped


def _mapped_within(path: Path, member: zipfile.ZipInfo) -> Array:
    with path.open("rb") as file:
        # The lengths of name and extra field in the local header may differ from those in the directory.
        file.seek(member.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(member.header_offset + 30 + name + extra)
        read_header = npy.read_array_header_1_0 if npy.read_magic(file)[0] == 1 else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
        order: Any = "F" if fortran else "C"
        return np.memmap(path, dtype, "r", file.tell(), shape, order)


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, copy: Path) -> None:
    """Unpack beside the copy's place and rename: no reader sees half of it."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=copy.parent, prefix=f".{copy.name}.")
    try:
        with os.fdopen(handle, "wb") as target, archive.open(member) as source:
            shutil.copyfileobj(source, target, 2**20)
        Path(temporary).replace(copy)
    finally:
        Path(temporary).unlink(missing_ok=True)
