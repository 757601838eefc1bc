"""Writing images into arrays on disk, image by image, so that a killed import goes on where it stopped."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from benchmark.data.card import SPLITS
from benchmark.data.reading import read_image
from benchmark.data.tables import Reading
from benchmark.errors import BenchError
from benchmark.files import write_atomically
from benchmark.intake.found import Found
from benchmark.intake.leakage import SIDE, thumbnail

Array = NDArray[Any]

STATE = ".importing.json"
"""File of an unfinished import, which the next one goes on from."""

THUMBNAILS = ".thumbnails.npy"
CHECKSUMS = ".checksums.npy"
TOGETHER = 64
SAVE_SECONDS = 5.0
VERSION = 1


@dataclass(frozen=True)
class Work:
    """What is written.

    Attributes:
        source: folder of the image files.
        images: with their splits.
        reading: how files are read.
        shape: (C, H, W).
        target: folder to write into.
        in_place: whether images stay in their files, which are then only looked at and hashed.
    """

    source: Path
    images: Sequence[Found]
    reading: Reading
    shape: tuple[int, int, int]
    target: Path
    in_place: bool = False

    @property
    def key(self) -> str:
        """Hash of all that decides what is written, the versions of the files among it."""
        digest = hashlib.sha256(f"{VERSION}\0{self.reading.model_dump_json()}\0{self.shape}\0{self.in_place}".encode())
        for image in self.images:
            found = (self.source / image.file).stat()
            told = (image.file, image.label, image.patient, image.split, found.st_size, found.st_mtime_ns)
            digest.update("\0".join(map(str, told)).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def array(self, split: str) -> Path:
        """The file of a split's images."""
        return self.target / f"{split}_images.npy"

    def count(self, split: str) -> int:
        """Number of a split's images."""
        return sum(image.split == split for image in self.images)


@dataclass(frozen=True)
class Written:
    """What came of it: thumbnails (N, 32, 32) uint8 and the files' sha256 in digits, in the order of the images."""

    thumbnails: Array
    checksums: list[str]


def write_arrays(work: Work, on_progress: Callable[[int], None] = lambda _: None) -> Written:
    """Write every image that an interrupted import of the same has not written.

    Args:
        work: what to write.
        on_progress: told how many images are done, at once for those of an interrupted import.

    Raises:
        BenchError: an image cannot be read, or the target is somebody else's.
    """
    done, key = begun(work)
    # Before the first array: a kill in between leaves a folder that the next import knows for its own.
    _note(work, key, done)
    stores = _stores(work, fresh=done == 0)
    thumbnails, checksums = stores["thumbnails"], stores["checksums"]
    on_progress(done)
    places = _places(work.images)
    saved = time.monotonic()
    for first, pieces in _read(work, done):
        for place, (pixels, small, checksum) in enumerate(pieces, start=first):
            if not work.in_place:
                stores[str(work.images[place].split)][places[place]] = pixels
            thumbnails[place], checksums[place] = small, checksum
        done = first + len(pieces)
        if time.monotonic() - saved > SAVE_SECONDS:
            for store in stores.values():
                store.flush()
            _note(work, key, done)
            saved = time.monotonic()
        on_progress(done)
    for store in stores.values():
        store.flush()
    _note(work, key, done)
    return Written(np.array(thumbnails), [bytes(row).hex() for row in checksums])


def finished(work: Work) -> None:
    """Remove what only an unfinished import needs."""
    for name in (THUMBNAILS, CHECKSUMS, STATE):
        (work.target / name).unlink(missing_ok=True)


def begun(work: Work) -> tuple[int, str]:
    """Return how many images an interrupted import of the same has written, and the import's key.

    Raises:
        BenchError: the target holds something else than an unfinished import.
    """
    key, state = work.key, work.target / STATE
    if not state.is_file():
        if work.target.exists() and (not work.target.is_dir() or any(work.target.iterdir())):
            raise BenchError(
                f"{work.target} is there already and no unfinished import; choose another --name or move it."
            )
        return 0, key
    try:
        told = json.loads(state.read_text("utf-8"))
        return (int(told["done"]) if told["key"] == key else 0), key
    except (ValueError, KeyError, TypeError):
        return 0, key


def _note(work: Work, key: str, done: int) -> None:
    write_atomically(work.target / STATE, json.dumps({"key": key, "done": done}).encode())


def _stores(work: Work, fresh: bool) -> dict[str, Any]:
    channels, height, width = work.shape
    frame = (height, width) if channels == 1 else (height, width, channels)
    dtype = np.dtype(np.uint8 if work.reading.bits == 8 else np.uint16)
    wanted: dict[str, tuple[Path, np.dtype[Any], tuple[int, ...]]] = {
        "thumbnails": (work.target / THUMBNAILS, np.dtype(np.uint8), (len(work.images), SIDE, SIDE)),
        "checksums": (work.target / CHECKSUMS, np.dtype(np.uint8), (len(work.images), 32)),
    }
    if not work.in_place:
        wanted |= {
            split: (work.array(split), dtype, (work.count(split), *frame)) for split in SPLITS if work.count(split)
        }
    work.target.mkdir(parents=True, exist_ok=True)
    if not fresh:
        return {name: open_memmap(path, mode="r+") for name, (path, _, _) in wanted.items()}
    return {name: open_memmap(path, "w+", dtype=kind, shape=shape) for name, (path, kind, shape) in wanted.items()}


def _places(images: Sequence[Found]) -> list[int]:
    """Place of each image within its split."""
    next_of: dict[str, int] = {}
    places = []
    for image in images:
        places.append(next_of.get(str(image.split), 0))
        next_of[str(image.split)] = places[-1] + 1
    return places


def _read(work: Work, done: int) -> Iterator[tuple[int, list[tuple[Array, Array, Array]]]]:
    """Read images in their order, some at a time; decoding runs in threads, since it lets go of Python's lock."""

    def one(image: Found) -> tuple[Array, Array, Array]:
        path = work.source / image.file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BenchError(f"{path} cannot be read ({error.strerror}); correct its permissions.") from None
        pixels = read_image(path, work.reading, work.shape, content)
        return pixels, thumbnail(pixels), np.frombuffer(hashlib.sha256(content).digest(), dtype=np.uint8)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(done, len(work.images), TOGETHER):
            yield first, list(pool.map(one, work.images[first : first + TOGETHER]))
