"""A split: what every attack, corruption and trainer receives."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from benchmark.data.hashes import remembered
from benchmark.data.images import HeldImages, ImageSource
from benchmark.errors import BenchError

WORTH_KEEPING = 2**28
"""Bytes of floats from which a hash is kept: computing it takes longer than a tenth of a second."""


class _Images:
    """The field ``images``: made from a tensor or a source, read as a tensor."""

    def __get__(self, split: "Split | None", owner: type) -> Tensor:
        if split is None:
            raise AttributeError("images")  # by which the dataclass knows that the field has no default
        return split.pixels[:]

    def __set__(self, split: "Split", given: Tensor | ImageSource) -> None:
        split.__dict__["_pixels"] = HeldImages(given) if isinstance(given, Tensor) else given


@dataclass(frozen=True, eq=False)
class Split:
    """Images with labels and names, validated when made.

    Attributes:
        dataset: name of the card.
        name: ``train``, ``val`` or ``test``.
        images: float32, (N, C, H, W), in [0, 1], all of them at once; :attr:`pixels` makes floats of some. A split is
            made from such a tensor or from an :class:`~benchmark.data.images.ImageSource`.
        labels: int64, (N,), each in 0 ... len(classes)-1.
        ids: N different names.
        groups: N names of what must not be torn apart (the patient), or the ids themselves.
        classes: names of the labels.
        findings: uint8 in {0, 1}, (N, F), or None: several findings may be present in one image.
        masks: uint8 in {0, 1}, (N, H, W), or None.
        task: the card's.
    """

    dataset: str
    name: str
    images: _Images = _Images()
    # mypy takes the descriptor for a default; the dataclass does not.
    labels: Tensor  # type: ignore[misc]
    ids: tuple[str, ...]  # type: ignore[misc]
    groups: tuple[str, ...]  # type: ignore[misc]
    classes: tuple[str, ...]  # type: ignore[misc]
    findings: Tensor | None = None
    masks: Tensor | None = None
    task: str = "multiclass"

    def __post_init__(self) -> None:
        complaint = self._complaint()
        if complaint:
            raise BenchError(f"split '{self.name}' of data set '{self.dataset}': {complaint}.")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def pixels(self) -> ImageSource:
        """The images as a source: ``pixels[places]`` makes floats for these places alone."""
        source: ImageSource = self.__dict__["_pixels"]
        return source

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) over images as floats, labels and ids, in this order of images.

        That of a large split on disk is kept: it is computed once for each version of the files.
        """
        keep = self.pixels.origin and self.pixels.float_bytes >= WORTH_KEEPING
        return remembered(f"split\0{self.pixels.origin}\0{self._names_hash()}" if keep else "", self._hashed)

    def _hashed(self) -> str:
        digest = hashlib.sha256()
        digest.update(str(self.pixels.shape).encode())
        for piece in self.pixels.pieces():
            digest.update(self.pixels[piece].contiguous().cpu().numpy().astype("<f4", copy=False).data)
        self._add_names(digest.update)
        return digest.hexdigest()

    def _names_hash(self) -> str:
        digest = hashlib.sha256()
        self._add_names(digest.update)
        return digest.hexdigest()

    def _add_names(self, update: Callable[[bytes], None]) -> None:
        update(self.labels.cpu().numpy().astype("<i8", copy=False).tobytes())
        update("\x1f".join(self.ids).encode())

    def subset(self, indices: Sequence[int] | Tensor) -> "Split":
        """Return the images at ``indices``, in that order.

        Raises:
            BenchError: an index is outside the split or given twice.
        """
        index = [int(i) for i in indices]
        outside = [i for i in index if not 0 <= i < len(self)]
        if outside:
            raise BenchError(
                f"split '{self.name}' of data set '{self.dataset}' has {len(self)} images, so index {outside[0]} does "
                f"not exist; use 0 to {len(self) - 1}."
            )
        where = torch.tensor(index, dtype=torch.long)
        return Split(
            dataset=self.dataset,
            name=self.name,
            images=self.pixels.subset(index),
            labels=self.labels[where],
            ids=tuple(self.ids[i] for i in index),
            groups=tuple(self.groups[i] for i in index),
            classes=self.classes,
            task=self.task,
            findings=None if self.findings is None else self.findings[where],
            masks=None if self.masks is None else self.masks[where],
        )

    def by_ids(self, ids: Iterable[str]) -> "Split":
        """Return the images called ``ids``, in that order.

        Raises:
            BenchError: an id is not in the split or given twice.
        """
        place = {name: i for i, name in enumerate(self.ids)}
        wanted = list(ids)
        unknown = [name for name in wanted if name not in place]
        if unknown:
            raise BenchError(
                f"split '{self.name}' of data set '{self.dataset}' has no image '{unknown[0]}' "
                f"({len(unknown)} of {len(wanted)} ids are unknown); check that the ids belong to this split."
            )
        return self.subset([place[name] for name in wanted])

    def relabelled(self, labels: Tensor) -> "Split":
        """Return the same images with other labels (N,) int64; what lies on disk stays there."""
        return Split(
            self.dataset, self.name, self.pixels, labels, self.ids, self.groups, self.classes, self.findings, self.masks
        )

    def _complaint(self) -> str:
        return self._wrong_images() or self._wrong_labels() or self._wrong_names() or self._wrong_extras()

    def _wrong_images(self) -> str:
        if not isinstance(self.pixels, HeldImages):
            return ""  # whole numbers within their type's range, checked when their file was opened
        images = self.pixels.images
        if images.dtype != torch.float32 or images.ndim != 4:
            return f"images must be float32 (N, C, H, W) but are {images.dtype} {tuple(images.shape)}"
        if images.shape[1] not in (1, 3):
            return f"images must have 1 or 3 channels but have {images.shape[1]}; put channels before height and width"
        if images.numel():
            low, high = (float(value) for value in torch.aminmax(images))
            if not (low >= 0.0 and high <= 1.0):
                return f"pixels must lie in [0, 1] but range from {low:.4g} to {high:.4g}; divide 8-bit images by 255"
        return ""

    def _wrong_labels(self) -> str:
        labels, count = self.labels, len(self.pixels)
        if labels.dtype != torch.int64 or labels.shape != (count,):
            return f"labels must be int64 ({count},) but are {labels.dtype} {tuple(labels.shape)}"
        if count and not (int(labels.min()) >= 0 and int(labels.max()) < len(self.classes)):
            return (
                f"labels range from {int(labels.min())} to {int(labels.max())} but there are {len(self.classes)} "
                f"classes, so 0 to {len(self.classes) - 1} are allowed"
            )
        return ""

    def _wrong_names(self) -> str:
        count = len(self.pixels)
        if len(self.ids) != count or len(self.groups) != count:
            return f"{count} images need {count} ids and groups but have {len(self.ids)} and {len(self.groups)}"
        if len(set(self.ids)) != count:
            twice = next(name for name, uses in Counter(self.ids).items() if uses > 1)
            return f"id '{twice}' is used twice; each image needs its own"
        return ""

    def _wrong_extras(self) -> str:
        count, _, height, width = self.pixels.shape
        if self.findings is not None and (self.findings.ndim != 2 or self.findings.shape[0] != count):
            return f"findings must be ({count}, F) but are {tuple(self.findings.shape)}"
        if self.masks is not None and self.masks.shape != (count, height, width):
            return f"masks must be {(count, height, width)} but are {tuple(self.masks.shape)}"
        for what, values in (("findings", self.findings), ("masks", self.masks)):
            if values is not None and (values.dtype != torch.uint8 or (values.numel() and int(values.max()) > 1)):
                return f"{what} must be uint8 with values 0 and 1"
        return ""
