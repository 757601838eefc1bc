"""``datasets/<name>/dataset.toml``: what a data set says about itself. Imports no torch, so the site can read it."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from benchmark.data.tables import (
    MEDMNIST_FLAGS,
    MEDMNIST_SIZES,
    SPLITS,
    ArraysOptions,
    DataFile,
    FolderOptions,
    MedmnistOptions,
    NpzOptions,
    Official,
    Reading,
    SplitName,
    SplitSizes,
)
from benchmark.errors import BenchError
from benchmark.files import read_text
from benchmark.task.kinds import KINDS, known_task, refuse_task_to_come
from benchmark.toml_model import Strict, read_toml

__all__ = [
    "MEDMNIST_FLAGS",
    "MEDMNIST_SIZES",
    "NAME_PATTERN",
    "SPLITS",
    "Card",
    "DataFile",
    "Official",
    "SplitName",
    "SplitSizes",
    "all_cards",
    "cards_of",
    "read_card",
    "refuse_task_to_come",
    "sound_cards",
]

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
"""Names of data sets: lower case, digits and underscores; the card's folder has the same name."""

SIDES = (8, 1024)
"""Shortest and longest side of an image in pixels."""


class Card(Strict):
    """The whole of ``dataset.toml``; unknown fields are refused.

    ``size`` is the side of square images, else (height, width), in pixels. ``leakage`` says in a sentence each how the
    splits share patients or pictures; a card that has such sentences marks its board.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: str
    modality: str
    task: Annotated[str, AfterValidator(partial(known_task, among=KINDS))]
    classes: Annotated[list[str], Field(min_length=2, max_length=100)]
    size: int | tuple[int, int]
    channels: Literal[1, 3]
    source: str
    licence: str
    citation: str
    loader: Literal["synthetic", "medmnist", "npz", "arrays", "folder"]
    patient_ids: bool
    notes: list[str] = Field(default_factory=list)
    splits: SplitSizes
    official: Official
    files: list[DataFile] = Field(default_factory=list)
    medmnist: MedmnistOptions | None = None
    npz: NpzOptions | None = None
    arrays: ArraysOptions | None = None
    folder: FolderOptions | None = None
    reading: Reading | None = None
    leakage: list[str] = Field(default_factory=list)

    @property
    def height(self) -> int:
        """Height of the images in pixels."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def width(self) -> int:
        """Width of the images in pixels."""
        return self.size if isinstance(self.size, int) else self.size[1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width

    @property
    def pixels(self) -> str:
        """Height and width as ``28×28``."""
        return f"{self.height}×{self.width}"

    @field_validator("size", mode="before")
    @classmethod
    def _one_side_or_two(cls, value: object) -> object:
        sides = value if isinstance(value, (list, tuple)) else [value, value]
        if len(sides) != 2 or not all(type(side) is int and SIDES[0] <= side <= SIDES[1] for side in sides):
            raise ValueError(
                f"must be the side of a square or [height, width], of {SIDES[0]} to {SIDES[1]} pixels each, "
                f"not {value!r}"
            )
        return sides[0] if sides[0] == sides[1] else tuple(sides)

    @model_validator(mode="before")
    @classmethod
    def _task_is_built(cls, data: Any) -> Any:
        refuse_task_to_come(data, "keep the card out of datasets/ until it is")
        return data

    @model_validator(mode="after")
    def _loader_has_what_it_needs(self) -> "Card":
        if self.loader == "medmnist" and self.medmnist is None:
            raise ValueError("loader is 'medmnist' but the table [medmnist] with its flag is missing; add it")
        if self.loader == "medmnist" and self.size not in MEDMNIST_SIZES:
            raise ValueError(
                f"size is {self.size} but MedMNIST's files have {', '.join(map(str, MEDMNIST_SIZES))} pixels; give one "
                "of these, or read a file of your own with the npz loader"
            )
        if self.loader == "npz" and self.npz is None:
            raise ValueError("loader is 'npz' but the table [npz] with the array names is missing; add it")
        if self.loader in ("arrays", "folder") and getattr(self, self.loader) is None:
            raise ValueError(f"loader is '{self.loader}' but the table [{self.loader}] is missing; add it")
        if self.loader == "folder" and self.reading is None:
            raise ValueError("loader is 'folder' but the table [reading], which says how files are read, is missing")
        if self.loader in ("medmnist", "npz") and len(self.files) != 1:
            raise ValueError(f"loader '{self.loader}' reads one file but [[files]] lists {len(self.files)}; list one")
        return self

    @model_validator(mode="after")
    def _classes_and_counts_fit(self) -> "Card":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("two classes have the same name; give each its own")
        wanted = KINDS[self.task].classes
        if wanted is not None and len(self.classes) != wanted:
            raise ValueError(
                f"task is {self.task} but {len(self.classes)} classes are listed; list {wanted} or change the task"
            )
        if self.splits.train and not self.splits.val:
            raise ValueError(
                "there are training images but no validation images, which choose the checkpoint; add some"
            )
        if self.official.count > self.splits.test - len(self.official.exclude):
            raise ValueError(
                f"official.count is {self.official.count} but the test split offers only "
                f"{self.splits.test - len(self.official.exclude)} images; lower it"
            )
        if self.official.ids and len(set(self.official.ids)) != self.official.count:
            raise ValueError(
                f"official.count is {self.official.count} but {len(set(self.official.ids))} different ids are given; "
                "make them agree"
            )
        return self


def read_card(folder: Path) -> Card:
    """Read ``folder/dataset.toml``, and the official ids beside it where the card names such a file.

    Raises:
        BenchError: the card or its ids file is missing or wrong, or the card names another folder.
    """
    path = folder / "dataset.toml"
    if not path.is_file():
        raise BenchError(f"{folder} has no dataset.toml; write a card there or remove the folder.")
    card = read_toml(path, Card)
    if card.name != folder.name:
        raise BenchError(f"{path}: name is '{card.name}' but the folder is '{folder.name}'; make them equal.")
    if card.official.ids_file is None:
        return card
    ids = _read_ids(folder / card.official.ids_file, card.official.count)
    return card.model_copy(update={"official": card.official.model_copy(update={"ids": ids})})


def _read_ids(path: Path, count: int) -> list[str]:
    if not path.is_file():
        raise BenchError(f"{path} is missing though the card names it as official.ids_file; restore it.")
    ids = [line for line in read_text(path).split("\n") if line.strip()]
    if len(ids) != count or len(set(ids)) != count:
        raise BenchError(
            f"{path} has {len(set(ids))} different ids in {len(ids)} lines but official.count is {count}; "
            "make them agree."
        )
    return ids


def all_cards(datasets_folder: Path) -> dict[str, Card]:
    """Read every card below ``datasets_folder``, sorted by name.

    Raises:
        BenchError: a card is wrong.
    """
    return {name: read_card(datasets_folder / name) for name in _names(datasets_folder)}


def cards_of(datasets_folder: Path, needed: Iterable[str]) -> dict[str, Card]:
    """Read the cards of these data sets, sorted by name; one that has no card there is left out.

    Raises:
        BenchError: one of these cards is wrong. A wrong card of another data set is nobody's obstacle.
    """
    wanted = set(needed)
    return {name: read_card(datasets_folder / name) for name in _names(datasets_folder) if name in wanted}


def sound_cards(datasets_folder: Path, needed: Iterable[str] = ()) -> tuple[dict[str, Card], list[str]]:
    """Read every card that can be read, sorted by name, and say in a sentence each what is wrong with the others.

    Raises:
        BenchError: the card of a ``needed`` data set is wrong.
    """
    found, complaints = cards_of(datasets_folder, needed), []
    for name in _names(datasets_folder):
        try:
            found.setdefault(name, read_card(datasets_folder / name))
        except BenchError as error:
            complaints.append(str(error))
    return dict(sorted(found.items())), complaints


def _names(datasets_folder: Path) -> list[str]:
    return sorted(path.parent.name for path in datasets_folder.glob("*/dataset.toml"))
