"""``datasets/<name>/dataset.toml``: what a data set says about itself. Imports no torch, so the site can read it."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from benchmark.errors import BenchError, did_you_mean
from benchmark.files import read_text
from benchmark.task.kinds import KINDS, known_task, refuse_task_to_come
from benchmark.toml_model import Strict, read_toml

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
"""Names of data sets: lower case, digits and underscores; the card's folder has the same name."""

SplitName = Literal["train", "val", "test"]
"""The three splits that every data set has."""

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

MEDMNIST_FLAGS = (
    *("pathmnist", "chestmnist", "dermamnist", "octmnist", "pneumoniamnist", "retinamnist"),
    *("breastmnist", "bloodmnist", "tissuemnist", "organamnist", "organcmnist", "organsmnist"),
)
"""Flags of the 2-D sets of MedMNIST; written out here because importing the package takes seconds and torch."""

MEDMNIST_SIZES = (28, 64, 128, 224)
"""Sides in pixels of the files that MedMNIST offers for each of them."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Positive = Annotated[int, Field(ge=1)]


class DataFile(Strict):
    """A file that must lie in the data folder, and how it is recognised."""

    name: str
    sha256: list[Sha256] = Field(default_factory=list)
    md5: Md5 | None = None
    bytes: Positive | None = None
    how_to_get: str

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not value or value in (".", "..") or PurePosixPath(value).name != value or "\\" in value:
            raise ValueError(f"'{value}' must be a plain file name inside the data folder, without '/' or '..'")
        return value

    @model_validator(mode="after")
    def _has_checksum(self) -> "DataFile":
        if not self.sha256 and self.md5 is None:
            raise ValueError(f"file '{self.name}' has no checksum; give at least one sha256 or an md5")
        return self


class SplitSizes(Strict):
    """Number of images per split."""

    train: Positive
    val: Positive
    test: Positive

    def of(self, split: SplitName) -> int:
        """Return the number of images of ``split``."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]


class Official(Strict):
    """The official evaluation subset of the test split, the same images for everybody.

    ``ids`` are fixed either in the card itself or in ``ids_file`` beside it: one id a line, which may hold spaces;
    empty lines do not count. Without both, the subset follows from ``rule`` when the split is loaded. Where ids are
    given, they equal what the rule draws.
    """

    count: Positive
    rule: Literal["stratified-sha256"] = "stratified-sha256"
    drawn: str
    exclude: list[str] = Field(default_factory=list)
    ids: list[str] = Field(default_factory=list)
    ids_file: str | None = None


class MedmnistOptions(Strict):
    """Options of the ``medmnist`` loader: the set's flag; its size is the card's."""

    flag: str

    @field_validator("flag")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in MEDMNIST_FLAGS and value.endswith("3d"):
            raise ValueError(f"'{value}' holds volumes, and this version judges 2-D images; take a 2-D set of MedMNIST")
        if value not in MEDMNIST_FLAGS:
            raise ValueError(f"MedMNIST has no 2-D set '{value}'.{did_you_mean(value, MEDMNIST_FLAGS)}")
        return value


class NpzOptions(Strict):
    """Options of the ``npz`` loader: array names, in which ``{split}`` stands for train, val or test."""

    images: str = "{split}_images"
    labels: str = "{split}_labels"
    ids: str | None = None
    groups: str | None = None
    masks: str | None = None


class Card(Strict):
    """The whole of ``dataset.toml``; unknown fields are refused."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: str
    modality: str
    task: Annotated[str, AfterValidator(partial(known_task, among=KINDS))]
    classes: Annotated[list[str], Field(min_length=2)]
    size: Annotated[int, Field(ge=8)]
    channels: Literal[1, 3]
    source: str
    licence: str
    citation: str
    loader: Literal["synthetic", "medmnist", "npz"]
    patient_ids: bool
    notes: list[str] = Field(default_factory=list)
    splits: SplitSizes
    official: Official
    files: list[DataFile] = Field(default_factory=list)
    medmnist: MedmnistOptions | None = None
    npz: NpzOptions | None = None

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
        if self.loader != "synthetic" and len(self.files) != 1:
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
