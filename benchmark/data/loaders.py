"""From a card to a split: the ``medmnist`` and ``npz`` loaders."""

from pathlib import Path
from typing import Any

import torch

from benchmark.data.card import Card, SplitName
from benchmark.data.files import Array, check_arrays, checked_file, read_arrays
from benchmark.data.split import Split, images_from_uint8
from benchmark.errors import BenchError


def load_medmnist(card: Card, split: SplitName, data_dir: Path) -> Split:
    """Load a split through the class that the ``medmnist`` package has for the card's flag; never downloads.

    Raises:
        BenchError: the file is missing or not the one that the card describes.
    """
    path = checked_file(card, data_dir)
    read_arrays(path, {"images": f"{split}_images", "labels": f"{split}_labels"})
    dataset = medmnist_class(card)(split=split, root=str(path.parent), download=False)
    return _classification_split(card, split, dataset.imgs, dataset.labels, None, None, None)


def medmnist_class(card: Card) -> Any:
    """Return the ``medmnist`` package's class for the card's flag.

    Raises:
        BenchError: the package knows no such flag.
    """
    import medmnist  # takes seconds: it brings scikit-learn, scikit-image and pandas along

    flag = card.medmnist.flag if card.medmnist else ""
    if flag not in medmnist.INFO:
        raise BenchError(f"card '{card.name}': medmnist has no data set '{flag}'; correct medmnist.flag.")
    return getattr(medmnist, medmnist.INFO[flag]["python_class"])


def medmnist_url(card: Card) -> str:
    """Return the address from which the ``medmnist`` package downloads the card's file."""
    import medmnist

    flag = card.medmnist.flag if card.medmnist else ""
    return str(medmnist.INFO[flag]["url"])


def load_npz(card: Card, split: SplitName, data_dir: Path) -> Split:
    """Load a split from one npz file whose array names stand in the card's ``[npz]`` table.

    Raises:
        BenchError: the file is missing or not the one that the card describes.
    """
    if card.npz is None:
        raise BenchError(f"card '{card.name}' has no table [npz]; add it with the array names.")
    named = {name: key.replace("{split}", split) for name, key in card.npz.model_dump().items() if key}
    arrays = read_arrays(checked_file(card, data_dir), named)
    return _classification_split(
        card,
        split,
        arrays["images"],
        arrays["labels"],
        arrays.get("ids"),
        arrays.get("groups"),
        arrays.get("masks"),
    )


def _classification_split(
    card: Card,
    split: SplitName,
    images: Array,
    labels: Array,
    ids: Array | None,
    groups: Array | None,
    masks: Array | None,
) -> Split:
    flat = check_arrays(card, split, images, labels)
    names = tuple(f"{split}-{i:05d}" for i in range(len(images))) if ids is None else tuple(map(str, ids.reshape(-1)))
    return Split(
        dataset=card.name,
        name=split,
        images=images_from_uint8(images),
        labels=torch.from_numpy(flat),
        ids=names,
        groups=names if groups is None else tuple(map(str, groups.reshape(-1))),
        classes=tuple(card.classes),
        masks=None if masks is None else torch.from_numpy(masks),
    )
