"""From a card to a split: the loaders of files."""

from pathlib import Path

import numpy as np
import torch

from benchmark.data.card import MEDMNIST_SIZES, Card, SplitName
from benchmark.data.files import (
    Array,
    check_images,
    check_labels,
    check_masks,
    checked_file,
    checked_names,
    folder_of,
)
from benchmark.data.hashes import file_identity
from benchmark.data.images import ImageSource, stored_array
from benchmark.data.npz import read_arrays
from benchmark.data.reading import image_files
from benchmark.data.split import Split
from benchmark.data.table import Table, read_table
from benchmark.errors import BenchError


def load_medmnist(card: Card, split: SplitName, data_dir: Path) -> Split:
    """Load a split of a MedMNIST file of any size; never downloads.

    The package's own class is not asked: it reads the same six arrays, but only from files under its own names.

    Raises:
        BenchError: the file is missing or not the one that the card describes.
    """
    named = {"images": f"{split}_images", "labels": f"{split}_labels"}
    return _classification_split(card, split, checked_file(card, data_dir), named)


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
    named = {name: key.replace("{split}", split) for name, key in card.npz.model_dump(exclude={"bits"}).items() if key}
    return _classification_split(card, split, checked_file(card, data_dir), named)


def load_arrays(card: Card, split: SplitName, data_dir: Path) -> Split:
    """Load a split whose images lie in one npy file, which is mapped from disk, and whose names in a CSV file.

    Raises:
        BenchError: a file is missing or not the one that the card describes.
    """
    assert card.arrays is not None
    path = checked_file(card, data_dir, card.arrays.images.replace("{split}", split))
    try:
        images: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        told = " ".join(str(error).split())[:120]
        raise BenchError(f"{path} cannot be read ({told}); save the images again with numpy.save.") from None
    check_images(card, split, images.dtype, images.shape)
    table = read_table(card, split, checked_file(card, data_dir, card.arrays.table.replace("{split}", split)))
    return _split_of(card, split, stored_array(images, file_identity(path)), table)


def load_folder(card: Card, split: SplitName, data_dir: Path) -> Split:
    """Load a split of image files, which are read when a batch asks for them.

    Raises:
        BenchError: the CSV file is missing or not the one that the card describes, or the folder is not there.
    """
    assert card.folder is not None
    listed = checked_file(card, data_dir, card.folder.table.replace("{split}", split))
    folder = folder_of(card, data_dir) / card.folder.path
    if not folder.is_dir():
        raise BenchError(
            f"data set '{card.name}' reads its images from {folder}, which is no folder; correct the card."
        )
    table = read_table(card, split, listed, with_files=True)
    return _split_of(card, split, image_files(card, folder, table.files, file_identity(listed)), table)


def _split_of(card: Card, split: SplitName, images: ImageSource, table: Table) -> Split:
    labels, classes = torch.from_numpy(table.labels), tuple(card.classes)
    return Split(card.name, split, images, labels, table.ids, table.patients, classes)


def _classification_split(card: Card, split: SplitName, path: Path, named: dict[str, str]) -> Split:
    """A split from the arrays ``images`` and ``labels``, and ``ids``, ``groups`` and ``masks`` where they are named."""
    arrays, identity = read_arrays(path, named), file_identity(path)
    origin = f"{identity}\0{named['images']}" if identity else ""
    images = arrays["images"]
    check_images(card, split, images.dtype, images.shape)
    labels = check_labels(card, split, arrays["labels"])
    numbered = tuple(f"{split}-{i:05d}" for i in range(len(images)))
    ids = checked_names(card, split, "ids", arrays["ids"]) if "ids" in arrays else numbered
    return Split(
        dataset=card.name,
        name=split,
        images=stored_array(images, origin),
        labels=torch.from_numpy(labels),
        ids=ids,
        groups=checked_names(card, split, "groups", arrays["groups"]) if "groups" in arrays else ids,
        classes=tuple(card.classes),
        task=card.task,
        masks=torch.from_numpy(check_masks(card, split, arrays["masks"])) if "masks" in arrays else None,
    )
