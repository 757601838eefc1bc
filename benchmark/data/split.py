"""A split in memory: what every attack, corruption and trainer receives."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import BenchError


@dataclass(frozen=True, eq=False)
class Split:
    """Images with labels and names, validated when made.

    Attributes:
        dataset: name of the card.
        name: ``train``, ``val`` or ``test``.
        images: float32, (N, C, H, W), in [0, 1].
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
    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    findings: Tensor | None = None
    masks: Tensor | None = None
    task: str = "multiclass"

    def __post_init__(self) -> None:
        complaint = self._complaint()
        if complaint:
            raise BenchError(f"split '{self.name}' of data set '{self.dataset}': {complaint}.")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) over images, labels and ids, in this order of images."""
        digest = hashlib.sha256()
        digest.update(str(tuple(self.images.shape)).encode())
        digest.update(self.images.contiguous().cpu().numpy().astype("<f4", copy=False).tobytes())
        digest.update(self.labels.cpu().numpy().astype("<i8", copy=False).tobytes())
        digest.update("\x1f".join(self.ids).encode())
        return digest.hexdigest()

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
            images=self.images[where],
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

    def _complaint(self) -> str:
        return self._wrong_images() or self._wrong_labels() or self._wrong_names() or self._wrong_extras()

    def _wrong_images(self) -> str:
        images = self.images
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
        labels, count = self.labels, self.images.shape[0]
        if labels.dtype != torch.int64 or labels.shape != (count,):
            return f"labels must be int64 ({count},) but are {labels.dtype} {tuple(labels.shape)}"
        if count and not (int(labels.min()) >= 0 and int(labels.max()) < len(self.classes)):
            return (
                f"labels range from {int(labels.min())} to {int(labels.max())} but there are {len(self.classes)} "
                f"classes, so 0 to {len(self.classes) - 1} are allowed"
            )
        return ""

    def _wrong_names(self) -> str:
        count = self.images.shape[0]
        if len(self.ids) != count or len(self.groups) != count:
            return f"{count} images need {count} ids and groups but have {len(self.ids)} and {len(self.groups)}"
        if len(set(self.ids)) != count:
            twice = next(name for name, uses in Counter(self.ids).items() if uses > 1)
            return f"id '{twice}' is used twice; each image needs its own"
        return ""

    def _wrong_extras(self) -> str:
        count, height, width = self.images.shape[0], self.images.shape[2], self.images.shape[3]
        if self.findings is not None and (self.findings.ndim != 2 or self.findings.shape[0] != count):
            return f"findings must be ({count}, F) but are {tuple(self.findings.shape)}"
        if self.masks is not None and self.masks.shape != (count, height, width):
            return f"masks must be {(count, height, width)} but are {tuple(self.masks.shape)}"
        for what, values in (("findings", self.findings), ("masks", self.masks)):
            if values is not None and (values.dtype != torch.uint8 or (values.numel() and int(values.max()) > 1)):
                return f"{what} must be uint8 with values 0 and 1"
        return ""


def images_from_uint8(images: np.ndarray) -> Tensor:
    """Turn uint8 (N, H, W) or (N, H, W, C) in 0 ... 255 into float32 (N, C, H, W) in [0, 1]."""
    with_channels = images[..., None] if images.ndim == 3 else images
    return torch.from_numpy(np.ascontiguousarray(with_channels.transpose(0, 3, 1, 2))).float().div_(255.0)
