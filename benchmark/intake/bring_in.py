"""A folder of images as a data set of one's own: the whole way from files to card, arrays and recipes."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomlkit

from benchmark.data.card import NAME_PATTERN, SPLITS, Card, read_card
from benchmark.data.files import default_data_dir
from benchmark.data.hashes import file_digest
from benchmark.data.reading import facts_of, is_dicom
from benchmark.data.tables import Reading
from benchmark.errors import BenchError
from benchmark.files import write_atomically
from benchmark.intake.arrays import Work, Written, finished, write_arrays
from benchmark.intake.found import Collection, Columns, Found, collect
from benchmark.intake.leakage import Leakage, gate
from benchmark.intake.recipes import write_recipes
from benchmark.intake.splitting import torn_patients, with_splits
from benchmark.root import Root
from benchmark.task.kinds import kind_for
from benchmark.toml_model import as_model

OFFICIAL = 256
"""Most images of the evaluation subset, as on the benchmark's own boards."""

RULE = (
    "From each class, in proportion to its share of the test split, the images whose ids have the smallest SHA-256; "
    "then sorted by index."
)


@dataclass(frozen=True)
class Wish:
    """What the user asked for.

    Attributes:
        folder: of the images.
        labels: a CSV file, or None for class folders.
        columns: of the CSV file.
        name: of the data set; empty for one made from the folder's.
        size: (height, width) in pixels.
        channels: 1 or 3; None for 3 where any image has colour.
        window: of DICOM files: centre and width, or None for each file's own.
        in_place: leave the images in their files.
        allow_leakage: take data in which a patient is in two splits, and mark the card.
        title, modality, licence: for the card.
    """

    folder: Path
    labels: Path | None = None
    columns: Columns = field(default_factory=Columns)
    name: str = ""
    size: tuple[int, int] = (224, 224)
    channels: Literal[1, 3] | None = None
    window: tuple[float, float] | None = None
    in_place: bool = False
    allow_leakage: bool = False
    title: str = ""
    modality: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Imported:
    """What was made."""

    card: Card
    folder: Path
    data: Path
    recipes: list[Path]
    remarks: list[str]


def import_folder(
    root: Root,
    wish: Wish,
    data_dir: Path | None = None,
    on_progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> Imported:
    """Make a data set of a folder of images; an import that was killed goes on where it stopped.

    Args:
        root: where the card goes, below ``datasets``.
        wish: what to make.
        data_dir: where the arrays go, below the data set's name.
        on_progress: told what is done, how many images of it, and of how many.

    Raises:
        BenchError: anything that is wrong with the folder, the CSV file, an image or the names.
    """
    name = _name(wish)
    home = root.datasets / name
    if (home / "dataset.toml").exists():
        raise BenchError(f"data set '{name}' is there already ({home}); give another --name, or remove it.")
    collected = collect(wish.folder, wish.labels, wish.columns)
    images, made = with_splits(collected.images)
    torn = torn_patients(images)
    if torn and not wish.allow_leakage:
        splits = sorted({str(image.split) for image in images if image.patient == torn[0]})
        raise BenchError(
            f"patient '{torn[0]}' has images in {' and '.join(splits)} ({len(torn)} such in all); correct the splits, "
            "let them be drawn by leaving out --split, or give --allow-leakage, which marks the card."
        )
    channels, reading = _reading(wish, images, on_progress)
    shape = (channels, *wish.size)
    data = (data_dir or default_data_dir(root)) / name
    work = Work(wish.folder.resolve(), images, reading, shape, data, wish.in_place)
    written = write_arrays(work, lambda done: on_progress("reading images", done, len(images)))
    on_progress("looking for leakage", len(images), len(images))
    leakage = gate(images, written.thumbnails)
    _write_tables(work, written, collected.patients)
    text = _card_text(wish, name, work, collected, made, leakage)
    as_model(tomlkit.parse(text).unwrap(), home / "dataset.toml", Card)
    write_atomically(home / "dataset.toml", text.encode())
    card = read_card(home)
    recipes = write_recipes(card, home)
    finished(work)
    return Imported(card, home, data, recipes, [*collected.remarks, *leakage.sentences])


def _name(wish: Wish) -> str:
    name = wish.name or re.sub(r"[^a-z0-9]+", "_", wish.folder.resolve().name.lower()).strip("_")
    if not re.fullmatch(NAME_PATTERN, name):
        raise BenchError(
            f"'{name}' cannot be a data set's name; give --name with lower-case letters, digits and underscores, "
            "starting with a letter."
        )
    return name


def _reading(
    wish: Wish, images: Sequence[Found], on_progress: Callable[[str, int, int], None]
) -> tuple[Literal[1, 3], Reading]:
    """Channels and depth that no image loses by, from the files' heads."""
    channels, bits, dicom = 1, 8, False
    for done, image in enumerate(images, start=1):
        path = wish.folder / image.file
        own = facts_of(path)
        channels, bits, dicom = max(channels, own[0]), max(bits, own[1]), dicom or is_dicom(path)
        if done % 64 == 0 or done == len(images):
            on_progress("looking at files", done, len(images))
    window: Any = (wish.window or "file") if dicom else None
    if wish.window and not dicom:
        raise BenchError("--window is for DICOM files, and there are none; leave it out.")
    depth: Literal[8, 16] = 16 if bits == 16 else 8
    return wish.channels or (3 if channels == 3 else 1), Reading(
        bits=depth, window=window, rescaled=dicom, inverted=dicom
    )


def _write_tables(work: Work, written: Written, patients: bool) -> None:
    columns = ["id", "label", *(["patient"] if patients else []), *(["file", "sha256"] if work.in_place else [])]
    for split in SPLITS:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for image, checksum in zip(work.images, written.checksums, strict=True):
            if image.split == split:
                row = {"id": image.file, "label": image.label, "patient": image.patient}
                writer.writerow({**row, "file": image.file, "sha256": checksum})
        if work.count(split):
            write_atomically(work.target / f"{split}.csv", text.getvalue().encode("utf-8", "surrogatepass"))


def _card_text(wish: Wish, name: str, work: Work, collected: Collection, made: str, leakage: Leakage) -> str:
    classes = sorted({image.label for image in work.images})
    tests = [image for image in work.images if image.split == "test"]
    document: dict[str, Any] = {
        "name": name,
        "title": wish.title or name.replace("_", " "),
        "modality": wish.modality or "not stated",
        "task": kind_for(len(classes)).name,
        "classes": classes,
        "size": wish.size[0] if wish.size[0] == wish.size[1] else list(wish.size),
        "channels": work.shape[0],
        "source": f"imported from the folder {wish.folder.resolve().name} with 'bench datasets import'",
        "licence": wish.licence or "not stated",
        "citation": "not stated",
        "loader": "folder" if work.in_place else "arrays",
        "patient_ids": collected.patients,
        "notes": _notes(work, collected, made),
        **({"leakage": leakage.sentences} if leakage.sentences else {}),
        "splits": {split: work.count(split) for split in SPLITS},
        "files": _files(work),
        ("folder" if work.in_place else "arrays"): {"path": str(work.source)} if work.in_place else {},
        "reading": work.reading.model_dump(mode="json", exclude_defaults=True) | {"bits": work.reading.bits},
        "official": {
            "count": min(OFFICIAL, len(tests) - len(leakage.excluded)) or len(tests),
            "drawn": RULE,
            # Where every test image has a twin, leaving them out would leave none; the mark remains.
            **({"exclude": leakage.excluded} if 0 < len(leakage.excluded) < len(tests) else {}),
        },
    }
    return tomlkit.dumps(document)


def _notes(work: Work, collected: Collection, made: str) -> list[str]:
    notes = [
        made,
        f"The whole frame of an image of another size was resized to {work.shape[1]} x {work.shape[2]} pixels.",
    ]
    if not collected.patients:
        notes.append("Patients are not known: images of one patient may lie in two splits.")
    return notes


def _files(work: Work) -> list[dict[str, Any]]:
    kinds = (".csv",) if work.in_place else ("_images.npy", ".csv")
    paths = [work.target / f"{split}{kind}" for split in SPLITS if work.count(split) for kind in kinds]
    return [
        {
            "name": path.name,
            "sha256": [file_digest(path, "sha256")],
            "bytes": path.stat().st_size,
            "how_to_get": "import the folder again with 'bench datasets import'",
        }
        for path in paths
    ]
