"""Which data sets there are and whether their files are here. Imports no torch, so listings start at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.data.card import Card, read_card
from benchmark.data.files import checked_file, default_data_dir, folder_of
from benchmark.errors import BenchError, did_you_mean
from benchmark.root import Root, find_root


@dataclass(frozen=True)
class Availability:
    """Whether a data set can be loaded here.

    Attributes:
        dataset: name of the card.
        state: ``available``, ``missing`` (no file) or ``broken`` (a file, but not the right one).
        sentence: where it is, or exactly how to get it.
    """

    dataset: str
    state: Literal["available", "missing", "broken"]
    sentence: str


def find_card(name: str, root: Root | None = None) -> Card:
    """Read the card of data set ``name``.

    Raises:
        BenchError: there is no such data set, or its card is wrong.
    """
    folder = (root or find_root()).datasets
    known = [path.parent.name for path in folder.glob("*/dataset.toml")]
    if name not in known:
        raise BenchError(f"there is no data set '{name}' in {folder}.{did_you_mean(name, known)}")
    return read_card(folder / name)


def availability(card: Card, data_dir: Path | None = None, root: Root | None = None) -> Availability:
    """Tell whether the data set's files are here and are the right ones."""
    where = data_dir or default_data_dir(root)
    if card.loader == "synthetic":
        return Availability(card.name, "available", "drawn on this machine at first use; nothing to download.")
    try:
        paths = [checked_file(card, where, file.name) for file in card.files]
    except BenchError as error:
        there = all((folder_of(card, where) / file.name).exists() for file in card.files)
        state: Literal["missing", "broken"] = "broken" if there else "missing"
        return Availability(card.name, state, str(error))
    if len(paths) > 1:
        return Availability(
            card.name, "available", f"{len(paths)} files in {paths[0].parent} have the right checksums."
        )
    return Availability(card.name, "available", f"{paths[0]} has the right checksum.")
