"""The tables of a data set's card: its files, its splits, its official subset, and what each loader is told."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from benchmark.errors import did_you_mean
from benchmark.toml_model import Strict

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
    """Number of images per split; a set made for tests alone has none to train on."""

    train: Annotated[int, Field(ge=0)]
    val: Annotated[int, Field(ge=0)]
    test: Positive

    @property
    def trainable(self) -> bool:
        """Whether there is something to train on, which attacks may fit on too."""
        return self.train > 0

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
    """Options of the ``npz`` loader: array names, in which ``{split}`` stands for train, val or test.

    ``bits`` is 16 where images are uint16; such arrays are seldom meant, so that the card has to say so.
    """

    images: str = "{split}_images"
    labels: str = "{split}_labels"
    ids: str | None = None
    groups: str | None = None
    masks: str | None = None
    bits: Literal[8, 16] = 8


class ArraysOptions(Strict):
    """Options of the ``arrays`` loader: one npy file of images and one CSV file per split that has images.

    ``{split}`` stands for train, val or test. The images are uint8 or uint16, (N, H, W) or (N, H, W, C), and stay on
    disk. The CSV file has the columns ``id``, ``label`` (the name of a class) and, with patients, ``patient``.
    """

    images: str = "{split}_images.npy"
    table: str = "{split}.csv"


class FolderOptions(Strict):
    """Options of the ``folder`` loader, which reads image files one by one where they lie.

    ``path`` is absolute, or relative to the folder of the CSV files. The CSV file of each split has the columns of
    :class:`ArraysOptions` and ``file`` and ``sha256``, the image's path below ``path`` and its checksum.
    """

    path: str
    table: str = "{split}.csv"


class Reading(Strict):
    """How image files became the card's pixels.

    Attributes:
        bits: 8 or 16; deeper files are scaled down, others up.
        resized: how an image of another size comes to the card's.
        window: for DICOM, centre and width of the grey values that are shown; ``file``: each file's own window, and
            where it has none the span of its values.
        rescaled: for DICOM, whether slope and intercept were applied, so that the window is in their units.
        inverted: for DICOM, whether images whose largest value is black (MONOCHROME1) were inverted.
    """

    bits: Literal[8, 16] = 8
    resized: Literal["bilinear"] = "bilinear"
    window: Literal["file"] | tuple[float, float] | None = None
    rescaled: bool = False
    inverted: bool = False
