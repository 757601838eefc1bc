"""Image files as pixels of the card's size and depth: PNG, JPEG, TIFF and DICOM. Imports no torch by itself."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from benchmark.data.card import Card
from benchmark.data.dicom import DICOM_ENDINGS, read_dicom
from benchmark.data.images import StoredImages
from benchmark.data.tables import Reading
from benchmark.errors import BenchError

Array = NDArray[Any]

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Endings of image files besides DICOM's, in lower case."""

KNOWN_ENDINGS = (*ENDINGS, *DICOM_ENDINGS)

_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_GREY = ("1", "L", "LA", *_DEEP)
_DTYPES = {8: np.uint8, 16: np.uint16}


def is_dicom(path: Path) -> bool:
    """Whether a file is read as DICOM, by its ending."""
    return path.suffix.lower() in DICOM_ENDINGS


def facts_of(path: Path) -> tuple[Literal[1, 3], Literal[8, 16]]:
    """Return channels and depth in bits of an image file, from its head alone.

    Raises:
        BenchError: it is no image that can be read.
    """
    if is_dicom(path):
        return 1, 16
    try:
        with Image.open(path) as image:
            return (1 if image.mode in _GREY else 3), (16 if image.mode in _DEEP else 8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None


def read_image(path: Path, reading: Reading, shape: tuple[int, int, int], content: bytes | None = None) -> Array:
    """Read an image file.

    Args:
        path: the file.
        reading: depth, and DICOM's window.
        shape: (C, H, W) of the result, to which the whole frame is resized.
        content: what the file holds, where it has been read already.

    Returns:
        uint8 or uint16, (H, W) with one channel, else (H, W, 3).

    Raises:
        BenchError: it is no image that can be read.
    """
    held = path.read_bytes() if content is None else content
    if is_dicom(path):
        return _finished(read_dicom(path, held, reading.window or "file"), reading.bits, shape)
    try:
        with Image.open(io.BytesIO(held)) as image:
            if image.mode in _DEEP:
                deep = np.asarray(image)
                if image.mode == "F" or deep.min() < 0 or deep.max() > 65535:
                    raise BenchError(f"{path} has pixels beyond 16 bits; save it with 8 or 16.")
                return _finished(deep.astype(np.float32) / 65535, reading.bits, shape)
            plain = image.convert("L" if shape[0] == 1 else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None
    if plain.size != (shape[2], shape[1]):
        plain = plain.resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
    pixels = np.asarray(plain)
    return pixels if reading.bits == 8 else pixels.astype(np.uint16) * 257


def _finished(grey: Array, bits: Literal[8, 16], shape: tuple[int, int, int]) -> Array:
    """Resize grey values (H, W) float32 in [0, 1], and round them to whole numbers of the depth."""
    if grey.shape != shape[1:]:
        image = Image.fromarray(grey).resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
        grey = np.asarray(image).clip(0, 1)
    pixels = np.rint(grey * (2**bits - 1)).astype(_DTYPES[bits])
    return pixels if shape[0] == 1 else np.repeat(pixels[..., None], 3, axis=2)


def _unreadable(path: Path, error: Exception) -> BenchError:
    if isinstance(error, UnidentifiedImageError):
        return BenchError(f"{path} is no image that can be read (PNG, JPEG, TIFF, BMP or DICOM); remove or replace it.")
    told = " ".join(str(error).split())[:120]
    return BenchError(f"{path} cannot be read ({type(error).__name__}: {told}); remove or replace it.")


def image_files(card: Card, folder: Path, files: Sequence[tuple[str, str]], origin: str) -> StoredImages:
    """Images that are read from their files when they are asked for.

    Args:
        card: gives size, channels and how files are read.
        folder: where the files lie.
        files: for each image its path below ``folder`` and its sha256.
        origin: as in :class:`~benchmark.data.images.StoredImages`.
    """
    return StoredImages(_FromFiles(card, folder, tuple(files)), card.shape, np.arange(len(files)), origin)


@dataclass(frozen=True)
class _FromFiles:
    """Reads places of a list of files; arguments as :func:`image_files`."""

    card: Card
    folder: Path
    files: tuple[tuple[str, str], ...]

    def __call__(self, places: Array) -> Array:
        reading = self.card.reading or Reading()
        channels, height, width = self.card.shape
        frame = (height, width) if channels == 1 else (height, width, channels)
        found = np.empty((len(places), *frame), _DTYPES[reading.bits])
        for number, place in enumerate(places):
            name, sha256 = self.files[place]
            found[number] = _checked(self.card, self.folder / name, sha256, reading)
        return found


def _checked(card: Card, path: Path, sha256: str, reading: Reading) -> Array:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchError(f"data set '{card.name}' needs {path} ({error.strerror}); restore the file.") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BenchError(
            f"{path} is not the file that data set '{card.name}' was made from; restore it, or import again."
        )
    return read_image(path, reading, card.shape, content)
