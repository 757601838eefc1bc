"""Images of a split wherever they lie, in memory or on disk: floats exist only for the batch that is asked for."""

import hashlib
import math
import mmap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

Places = slice | Sequence[int] | Tensor
"""What images are asked for by: a slice, or indices in any order, of which one may come twice."""

WHITE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}
"""Pixel value that becomes 1."""

PIECE_BYTES = 2**26
CPU = torch.device("cpu")


class ImageSource(ABC):
    """Images (N, C, H, W) that become float32 in [0, 1] when they are asked for."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the images that are asked for are put."""

    @property
    def origin(self) -> str:
        """What decides the content, such as a file with its time stamp and the places in it; empty where nothing does.

        Hashes of the content are kept under it.
        """
        return ""

    @abstractmethod
    def __getitem__(self, places: Places | int) -> Tensor:
        """Images (n, C, H, W), or one (C, H, W) for a single index; float32 in [0, 1] on the device."""

    @abstractmethod
    def subset(self, places: Sequence[int]) -> "ImageSource":
        """The images at these places, in that order; what lies on disk stays there."""

    @abstractmethod
    def to(self, device: torch.device) -> "ImageSource":
        """The same images, put on another device."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def float_bytes(self) -> int:
        """Memory that all images take as floats."""
        return 4 * math.prod(self.shape)

    def pieces(self) -> Iterator[slice]:
        """Parts of about 64 MB of floats, of one image at least."""
        each = max(1, PIECE_BYTES // max(1, 4 * math.prod(self.shape[1:])))
        return (slice(first, min(first + each, len(self))) for first in range(0, len(self), each))


@dataclass(frozen=True, eq=False)
class HeldImages(ImageSource):
    """Images that are floats in memory already: float32 (N, C, H, W) in [0, 1]."""

    images: Tensor

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        count, channels, height, width = self.images.shape
        return count, channels, height, width

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.images.device

    def __getitem__(self, places: Places | int) -> Tensor:
        return self.images[places]

    def subset(self, places: Sequence[int]) -> "HeldImages":
        """Copy the images at these places."""
        return HeldImages(self.images[torch.tensor(places, dtype=torch.long)])

    def to(self, device: torch.device) -> "HeldImages":
        """Put all images on a device."""
        return HeldImages(self.images.to(device))


@dataclass(frozen=True, eq=False)
class StoredImages(ImageSource):
    """Images that stay integers where they lie: an array in memory or mapped from disk, or files read one by one.

    Attributes:
        read: returns pixels (n, H, W) or (n, H, W, C), uint8 or uint16, for n places of the whole store.
        frame: (C, H, W).
        places: (N,) int64, places of these images in the store.
        store: what decides the store's content, as :attr:`ImageSource.origin`.
        put_on: device of the images that are asked for.
    """

    read: Callable[[Array], Array]
    frame: tuple[int, int, int]
    places: Array
    store: str = ""
    put_on: torch.device = CPU

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return (len(self.places), *self.frame)

    @property
    def device(self) -> torch.device:
        """Where the images that are asked for are put."""
        return self.put_on

    @property
    def origin(self) -> str:
        """The store and the places in it."""
        return f"{self.store}\0{hashlib.sha256(self.places.tobytes()).hexdigest()}" if self.store else ""

    def __getitem__(self, places: Places | int) -> Tensor:
        if isinstance(places, int):
            return self[[places]][0]
        where = self.places[places.cpu().numpy() if isinstance(places, Tensor) else places]
        return floats(self.read(where)).to(self.put_on)

    def subset(self, places: Sequence[int]) -> "StoredImages":
        """Note which images are meant."""
        return replace(self, places=self.places[np.asarray(places, dtype=np.int64)])

    def to(self, device: torch.device) -> "StoredImages":
        """Put what is asked for on a device from now on."""
        return replace(self, put_on=device)


@dataclass(frozen=True)
class _FromArray:
    """Reads places of an array; where that is mapped from a file, another process maps the file again."""

    images: Array

    def __call__(self, places: Array) -> Array:
        # Neighbours are one stretch of the file; a list of places would be read image by image.
        neighbours = len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places)))
        found = np.array(self.images[places[0] : places[0] + len(places)] if neighbours else self.images[places])
        _let_go(self.images)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        images = self.images
        if isinstance(images, np.memmap) and images.filename is not None:
            order = "C" if images.flags.c_contiguous else "F"
            return _mapped_again, (str(images.filename), images.dtype.str, images.offset, images.shape, order)
        return _FromArray, (images,)


def _mapped_again(path: str, dtype: str, offset: int, shape: tuple[int, ...], order: Any) -> _FromArray:
    return _FromArray(np.memmap(path, dtype, "r", offset, shape, order))


def stored_array(images: Array, origin: str = "") -> StoredImages:
    """Images from an array (N, H, W) or (N, H, W, C) of uint8 or uint16, which may be mapped from disk."""
    count, height, width, *channels = images.shape
    return StoredImages(_FromArray(images), (channels[0] if channels else 1, height, width), np.arange(count), origin)


def _let_go(images: Array) -> None:
    """Take a mapped file's pages out of this process: they would count as its memory, however large the file."""
    mapped = getattr(images, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def floats(pixels: Array) -> Tensor:
    """Turn uint8 or uint16 (N, H, W) or (N, H, W, C) into float32 (N, C, H, W), the largest value into 1."""
    with_channels = pixels[..., None] if pixels.ndim == 3 else pixels
    whole = torch.from_numpy(np.array(with_channels.transpose(0, 3, 1, 2), order="C"))
    return whole.float().div_(WHITE[pixels.dtype])
