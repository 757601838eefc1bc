"""Which images a folder holds, and what their folders or a CSV file say of them."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.data.card import SPLITS, SplitName
from benchmark.data.reading import KNOWN_ENDINGS
from benchmark.data.table import read_rows
from benchmark.errors import BenchError, did_you_mean

SPLIT_NAMES: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of folders and values of a column that mean a split."""

IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "path", "image_id", "id")
LABEL_COLUMNS = ("label", "class", "diagnosis", "target", "finding")
PATIENT_COLUMNS = ("patient", "patient_id", "patientid", "subject", "subject_id")


@dataclass(frozen=True)
class Columns:
    """Columns of the CSV file; an empty name stands for the first of the usual ones that is there."""

    image: str = ""
    label: str = ""
    patient: str = ""
    split: str = ""


@dataclass(frozen=True)
class Found:
    """An image to be imported.

    Attributes:
        file: path below the folder, with slashes; it is the image's id too.
        label: name of its class.
        patient: name of its patient; the file where patients are not known.
        split: what the data say; empty where splits are to be made.
    """

    file: str
    label: str
    patient: str
    split: SplitName | None


@dataclass(frozen=True)
class Collection:
    """All images to be imported, sorted by file.

    Attributes:
        images: the images.
        patients: whether patients are known.
        remarks: what the user should know, a sentence each.
    """

    images: list[Found]
    patients: bool
    remarks: list[str] = field(default_factory=list)


def collect(folder: Path, labels: Path | None, columns: Columns) -> Collection:
    """Find the images below a folder and what is said of them.

    Without a CSV file the images lie in class folders, ``FOLDER/class`` or ``FOLDER/{train,val,test}/class``.

    Raises:
        BenchError: no folder, no images, images without a class, a row without its image, a column that is missing, a
            patient in two splits, two classes of one name.
    """
    if not folder.is_dir():
        raise BenchError(f"{folder} is {'a file' if folder.exists() else 'not there'}; give the folder of the images.")
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in KNOWN_ENDINGS and path.is_file() and not _hidden(path.relative_to(folder))
    )
    if not files:
        raise BenchError(f"{folder} holds no images ({', '.join(KNOWN_ENDINGS)}); give the folder that holds them.")
    if labels is None:
        if columns != Columns():
            raise BenchError(
                "--image, --label, --patient and --split name columns of a CSV file; give it with --labels."
            )
        found = Collection(_by_folders(folder, files), patients=False)
    else:
        found = _by_table(folder, files, labels, columns)
    _check_classes([image.label for image in found.images])
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _by_folders(folder: Path, files: Sequence[str]) -> list[Found]:
    tops = {file.split("/")[0] for file in files if "/" in file}
    splits = {top for top in tops if top.lower() in SPLIT_NAMES}
    if splits and splits != tops:
        raise BenchError(
            f"{folder} has folders of splits ({', '.join(sorted(splits))}) beside others "
            f"({', '.join(sorted(tops - splits)[:3])}); put all images below train, val or test, or give --labels CSV."
        )
    depth = 2 if splits else 1
    found = []
    for file in files:
        parts = file.split("/")
        if len(parts) <= depth:
            raise BenchError(
                f"{folder / file} lies in no class folder; put it below {folder}/{'SPLIT/' if splits else ''}CLASS/, "
                "or give --labels CSV."
            )
        found.append(Found(file, parts[depth - 1], file, SPLIT_NAMES[parts[0].lower()] if splits else None))
    return found


def _by_table(folder: Path, files: Sequence[str], labels: Path, columns: Columns) -> Collection:
    if not labels.is_file():
        raise BenchError(f"--labels {labels} {'is a folder' if labels.is_dir() else 'is not there'}; give a CSV file.")
    names, rows = read_rows(labels)
    image = _column(labels, names, columns.image, IMAGE_COLUMNS, "--image")
    label = _column(labels, names, columns.label, LABEL_COLUMNS, "--label")
    patient = columns.patient or next((name for name in names if name.lower() in PATIENT_COLUMNS), "")
    for option, name in (("--patient", patient), ("--split", columns.split)):
        if name and name not in names:
            raise BenchError(f"{labels} has no column '{name}', which {option} names.{did_you_mean(name, names)}")
    places = _Places(folder, files)
    found: dict[str, Found] = {}
    for number, row in enumerate(rows, start=2):
        where = f"{labels}, row {number}"
        for what, column in (("image", image), ("label", label), ("patient", patient), ("split", columns.split)):
            if column and not row[column]:
                raise BenchError(f"{where}: column '{column}' is empty; give the {what}, or remove the row.")
        file = places.of(row[image], where)
        if file in found:
            raise BenchError(f"{where}: {row[image]} is listed a second time; remove one of the rows.")
        split = _split_of(row[columns.split], where) if columns.split else None
        found[file] = Found(file, row[label], row[patient] if patient else file, split)
    if not found:
        raise BenchError(f"{labels} has no rows below its column names; add one for each image.")
    remarks = []
    if len(files) > len(found):
        remarks.append(f"{len(files) - len(found)} images in {folder} have no row in {labels.name} and are left out.")
    if patient and not columns.patient:
        remarks.append(f"patients are taken from column '{patient}' of {labels.name}.")
    return Collection([found[file] for file in sorted(found)], bool(patient), remarks)


def _column(path: Path, names: Sequence[str], given: str, usual: Sequence[str], option: str) -> str:
    if given:
        if given not in names:
            raise BenchError(f"{path} has no column '{given}', which {option} names.{did_you_mean(given, names)}")
        return given
    found = next((name for one in usual for name in names if name.lower() == one), "")
    if not found:
        raise BenchError(
            f"{path} has none of the columns {', '.join(usual)}; name one of {', '.join(names)} with {option}."
        )
    return found


def _split_of(value: str, where: str) -> SplitName:
    if value.lower() not in SPLIT_NAMES:
        raise BenchError(f"{where}: split '{value}' is none of {', '.join(SPLITS)}; correct it.")
    return SPLIT_NAMES[value.lower()]


class _Places:
    """Files by what a CSV file may call them: the path below the folder, the name alone, either without ending."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self._folder = folder
        self._by_name: dict[str, list[str]] = {}
        for file in files:
            name, (stem, dot, _) = file.rpartition("/")[2], file.rpartition(".")
            for called in {file, name, stem, name.rpartition(".")[0]} if dot else {file, name}:
                self._by_name.setdefault(called, []).append(file)

    def of(self, called: str, where: str) -> str:
        called = unicodedata.normalize("NFC", called.replace("\\", "/").removeprefix("./"))
        found = self._by_name.get(called) or self._by_name.get(unicodedata.normalize("NFD", called), [])
        if not found:
            raise BenchError(f"{where}: there is no image '{called}' below {self._folder}; add it or remove the row.")
        if len(found) > 1 and called not in found:
            raise BenchError(
                f"{where}: '{called}' could be {found[0]} or {found[1]}; write the path below {self._folder}."
            )
        return called if called in found else found[0]


def _check_classes(labels: Sequence[str]) -> None:
    names = Counter(labels)
    alike: dict[str, str] = {}
    for name in names:
        key = " ".join(unicodedata.normalize("NFC", name).casefold().split())
        other = alike.setdefault(key, name)
        if other != name:
            raise BenchError(f"two classes have one name, '{other}' and '{name}'; give both the same spelling.")
    if len(names) < 2:
        raise BenchError(f"there is only one class, '{next(iter(names))}'; a diagnosis needs two or more.")
    if len(names) > 100:
        raise BenchError(
            f"there are {len(names)} classes, and up to 100 are judged; check that the labels are classes."
        )
