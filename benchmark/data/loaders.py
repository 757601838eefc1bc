"""From a card to a split: the ``medmnist`` and ``npz`` loaders."""

from pathlib import Path

import torch

from benchmark.data.card import MEDMNIST_SIZES, Card, SplitName
from benchmark.data.files import Array, check_arrays, check_masks, checked_file, checked_names, read_arrays
from benchmark.data.split import Split, images_from_uint8
from benchmark.errors import BenchError


def load_medmnist(card: Card, split: SplitName, data_dir: Path) -> Split:
    """Load a split of a MedMNIST file of any size; never downloads.

    The package's own class is not asked: it reads the same six arrays, but only from files under its own names.

    Raises:
        BenchError: the file is missing or not the one that the card describes.
    """
    named = {"images": f"{split}_images", "labels": f"{split}_labels"}
    return _classification_split(card, split, read_arrays(checked_file(card, data_dir), named))


def medmnist_source(card: Card) -> tuple[str, str]:
    """Return the address and the md5 that the ``medmnist`` package has for the card's flag and size.

    Raises:
        BenchError: the package knows no such set.
    """
    import medmnist  # takes seconds: it brings scikit-learn, scikit-image and pandas along

    flag = card.medmnist.flag if card.medmnist else ""
    suffix = "" if card.size == MEDMNIST_SIZES[0] else f"_{card.size}"
    known = medmnist.INFO.get(flag, {})
    if f"url{suffix}" not in known:
        raise BenchError(
            f"card '{card.name}': this medmnist has no '{flag}' of {card.size} pixels; correct medmnist.flag or size."
        )
    return str(known[f"url{suffix}"]), str(known[f"MD5{suffix}"])


def load_npz(card: Card, split: SplitName, data_dir: Path) -> Split:
    """Load a split from one npz file whose array names stand in the card's ``[npz]`` table.

    Raises:
        BenchError: the file is missing or not the one that the card describes.
    """
    if card.npz is None:
        raise BenchError(f"card '{card.name}' has no table [npz]; add it with the array names.")
    named = {name: key.replace("{split}", split) for name, key in card.npz.model_dump().items() if key}
    return _classification_split(card, split, read_arrays(checked_file(card, data_dir), named))


def _classification_split(card: Card, split: SplitName, arrays: dict[str, Array]) -> Split:
    """A split from the arrays ``images`` and ``labels``, and ``ids``, ``groups`` and ``masks`` where they are given."""
    images = arrays["images"]
    labels = check_arrays(card, split, images, arrays["labels"])
    numbered = tuple(f"{split}-{i:05d}" for i in range(len(images)))
    ids = checked_names(card, split, "ids", arrays["ids"]) if "ids" in arrays else numbered
    return Split(
        dataset=card.name,
        name=split,
        images=images_from_uint8(images),
        labels=torch.from_numpy(labels),
        ids=ids,
        groups=checked_names(card, split, "groups", arrays["groups"]) if "groups" in arrays else ids,
        classes=tuple(card.classes),
        task=card.task,
        masks=torch.from_numpy(check_masks(card, split, arrays["masks"])) if "masks" in arrays else None,
    )
