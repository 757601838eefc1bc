"""``submission.toml``: what an entry says about itself. Imports no torch, so the site can read it."""

import re
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from benchmark.errors import BenchError, did_you_mean
from benchmark.root import Root
from benchmark.task.kinds import ENTRY_TASKS, known_task, refuse_task_to_come
from benchmark.toml_model import Strict, as_model, parse_toml

NAME_PATTERN = r"^[a-z][a-z0-9_]{1,47}$"
"""Names of submissions: lower case, digits and underscores; they become folder, column and file names."""

SHA256_PATTERN = r"^[0-9a-f]{64}$"


class Paper(Strict):
    """Where the defense was published."""

    title: str
    authors: list[str]
    venue: str
    year: Annotated[int, Field(ge=1950, le=2100)]
    url: str = ""
    bibtex: str


class Weights(Strict):
    """The entry's weights for one data set: a file of its own, or those of another entry beside it.

    Attributes:
        file: place of the file in the entry's folder.
        entry: name of the entry whose file for the same data set is used; instead of ``file``.
        sha256: of the file, wherever it lies.
    """

    file: str = ""
    entry: str = ""
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]

    @model_validator(mode="after")
    def _one_place(self) -> "Weights":
        if bool(self.file) == bool(self.entry):
            raise ValueError("give either file, in the entry's own folder, or entry, whose weights these are")
        return self

    @field_validator("entry")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if value and not re.fullmatch(NAME_PATTERN, value):
            raise ValueError(f"'{value}' is not the name of an entry")
        return value

    @field_validator("file")
    @classmethod
    def _safetensors(cls, value: str) -> str:
        if not value:
            return value
        if not value.endswith(".safetensors"):
            raise ValueError(
                f"'{value}' is not a .safetensors file; convert it with safetensors.torch.save_file(state_dict, ...)"
            )
        if Path(value).is_absolute() or ".." in Path(value).parts:
            raise ValueError(f"'{value}' must lie inside the submission's folder; give a relative path without '..'")
        return value


class ClaimedNumber(Strict):
    """A number that the entry's own paper reports, shown beside ours."""

    dataset: str
    attack: str
    eps_255: Annotated[float, Field(ge=0)]
    metric: str
    value: float
    source: str


class Manifest(Strict):
    """The whole of ``submission.toml``; unknown fields are refused."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: str
    authors: Annotated[list[str], Field(min_length=1)]
    task: Annotated[str, AfterValidator(partial(known_task, among=ENTRY_TASKS))]
    datasets: Annotated[list[str], Field(min_length=1)]
    architecture: str
    defense_family: Literal[
        "none",
        "adversarial training",
        "pre-processing",
        "randomisation",
        "detection",
        "ensemble",
        "feature enhancement",
        "other",
    ]
    summary: str = ""
    entry_point: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\.py:[A-Za-z_][A-Za-z0-9_]*$")] = (
        "defense.py:build"
    )
    revision: Annotated[int, Field(ge=1)]
    baseline: bool = False
    stochastic: bool = False
    gradient: bool = True
    weights: dict[str, Weights] = Field(default_factory=dict)
    paper: Paper | None = None
    claims: list[ClaimedNumber] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _task_is_built(cls, data: Any) -> Any:
        refuse_task_to_come(data, "give 'classification' or keep the entry back until it is")
        return data

    @model_validator(mode="after")
    def _weights_for_known_datasets(self) -> "Manifest":
        for dataset in self.weights:
            if dataset not in self.datasets:
                raise ValueError(
                    f"weights.{dataset} is given, but '{dataset}' is not in datasets; add it or remove the weights"
                )
        return self


def read_manifest(folder: Path) -> Manifest:
    """Read ``folder/submission.toml``.

    Raises:
        BenchError: the file is missing, is not TOML, has an unknown or wrong field, or names another folder.
    """
    path = folder / "submission.toml"
    if not path.is_file():
        raise BenchError(f"{folder} has no submission.toml; create an entry with 'bench new NAME'.")
    return as_manifest(parse_toml(path), folder)


def as_manifest(raw: dict[str, Any], folder: Path) -> Manifest:
    """Check what ``folder/submission.toml`` says, or is to say.

    Raises:
        BenchError: it has an unknown or wrong field, or names another folder.
    """
    path = folder / "submission.toml"
    manifest = as_model(raw, path, Manifest)
    if manifest.name != folder.name:
        raise BenchError(f"{path}: name is '{manifest.name}' but the folder is '{folder.name}'; make them equal.")
    return manifest


def weights_path(folder: Path, manifest: Manifest, dataset: str) -> Path:
    """Where the weights of the entry in ``folder`` lie that its manifest names for a data set.

    Raises:
        BenchError: they are those of another entry, which is not there or has no weights of its own.
    """
    weights = manifest.weights[dataset]
    if not weights.entry:
        return folder / weights.file
    other = folder.parent / weights.entry
    lent = read_manifest(other).weights.get(dataset) if (other / "submission.toml").is_file() else None
    if lent is None or not lent.file:
        raise BenchError(
            f"{folder / 'submission.toml'}: weights.{dataset} are those of entry '{weights.entry}', but {other} has no "
            "weight file of its own for that data set; name a file or another entry."
        )
    return other / lent.file


def entry_names(root: Root) -> list[str]:
    """Names of all folders under ``submissions/`` that hold a manifest."""
    return sorted(path.parent.name for path in root.submissions.glob("*/submission.toml"))


def find_folder(root: Root, name_or_path: str) -> Path:
    """Find the folder of an entry by its name under ``submissions/``, or by its path; its manifest is not read.

    Raises:
        BenchError: no such folder.
    """
    as_path = Path(name_or_path)
    if as_path.is_dir() and (as_path / "submission.toml").is_file():
        return as_path.resolve()
    folder = root.submissions / name_or_path
    if name_or_path and folder.is_dir() and as_path.name == name_or_path:
        return folder
    if as_path.name != name_or_path and as_path.is_dir():
        raise BenchError(f"{as_path} has no submission.toml; create an entry with 'bench new NAME'.")
    raise BenchError(
        f"submission '{name_or_path}' is neither a folder nor a name under {root.submissions}."
        f"{did_you_mean(name_or_path, entry_names(root))}"
    )
