"""``bench datasets import``: one's own images as a data set."""

import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmark.cli.console import Console
from benchmark.cli.listings import datasets_app
from benchmark.cli.output import DataDir, Json, checked_data_dir, print_json
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError


def register(_app: typer.Typer) -> None:
    """Add the commands to ``bench datasets``."""
    datasets_app.command("import")(import_command)
    datasets_app.command("check")(check_command)


def import_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Images in FOLDER/CLASS or FOLDER/{train,val,test}/CLASS, or any.")],
    labels: Annotated[Path | None, typer.Option(help="CSV file with an image and its label in each row.")] = None,
    image: Annotated[str, typer.Option(help="Column of the images' names. Default: the usual ones.")] = "",
    label: Annotated[str, typer.Option(help="Column of the labels. Default: the usual ones.")] = "",
    patient: Annotated[str, typer.Option(help="Column of the patients. Default: the usual ones, where there.")] = "",
    split: Annotated[
        str, typer.Option(help="Column with train, val or test. Default: patients are drawn for the splits.")
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the data set. Default: the folder's.")] = "",
    size: Annotated[str, typer.Option(help="Pixels of a side, or HEIGHTxWIDTH; every image is resized.")] = "224",
    channels: Annotated[int | None, typer.Option(help="1 or 3. Default: 3 where an image has colour.")] = None,
    window: Annotated[
        str, typer.Option(help="For DICOM: CENTRE,WIDTH of the grey values to show. Default: each file's own.")
    ] = "",
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Leave the images in their files and read them when they are needed.")
    ] = False,
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Take data with a patient in two splits; the card is marked.")
    ] = False,
    title: Annotated[str, typer.Option(help="Title on the card.")] = "",
    modality: Annotated[str, typer.Option(help="Modality on the card, such as 'chest X-ray'.")] = "",
    licence: Annotated[str, typer.Option(help="Licence on the card.")] = "",
    data_dir: DataDir = None,
    board: BoardDir = None,
) -> None:
    """Bring a folder of PNG, JPEG, TIFF or DICOM images in as a data set. Run it again to go on after a kill."""
    from benchmark.intake.bring_in import Wish, import_folder
    from benchmark.intake.found import Columns

    wish = Wish(
        folder=folder,
        labels=labels,
        columns=Columns(image, label, patient, split),
        name=name,
        size=_size(size),
        channels=_channels(channels),
        window=_window(window),
        in_place=in_place,
        allow_leakage=allow_leakage,
        title=title,
        modality=modality,
        licence=licence,
    )
    root = root_of(context, board, make=True)
    root.refuse_writing(root.datasets, "give --board DIR for a board of your own.")
    console = Console(soft_wrap=True, highlight=False)
    watched = Console(stderr=True)
    columns = TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # Where nobody watches, bars would only stand between the user and a refusal.
    progress = Progress(*columns, TimeRemainingColumn(), console=watched, disable=not watched.is_terminal)
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, everything: int) -> None:
        if what not in tasks:
            progress.start()
            tasks[what] = progress.add_task(what, total=everything)
        progress.update(tasks[what], completed=done)

    try:
        made = import_folder(root, wish, data_dir, show)
    finally:
        if tasks:
            progress.stop()
    card, where = made.card, "" if board is None else f" --board {shlex.quote(str(board))}"
    counts = card.splits
    console.print(
        f"{card.name}: {counts.train} training, {counts.val} validation, {counts.test} test images of {card.pixels} "
        f"pixels, {len(card.classes)} classes ({', '.join(card.classes[:6])}{', …' if len(card.classes) > 6 else ''})",
        markup=False,
    )
    for remark in made.remarks:
        console.print(f"note: {remark}", markup=False)
    console.print(f"card {made.folder / 'dataset.toml'}, data {made.data}", markup=False)
    if not root.is_board:
        console.print("note: the card is part of this project; --board DIR keeps private data apart", markup=False)
    if made.recipes:
        console.print(f"next: bench train surrogates --dataset {card.name}{where}", markup=False)
    else:
        console.print("no training images: tracks whose attackers need some will be left out", markup=False)
    console.print(f"      bench new NAME --dataset {card.name}{where}", markup=False)


def check_command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the data set.")],
    as_json: Json = False,
    data_dir: DataDir = None,
    board: BoardDir = None,
) -> None:
    """Look for patients and for nearly the same pictures in two splits; exit code 1 where there are some."""
    from benchmark.data.availability import find_card
    from benchmark.intake.leakage import gate_of

    root = root_of(context, board)
    card = find_card(name, root)
    with Console(stderr=True).status(f"looking at {name}"):
        found = gate_of(card, root, checked_data_dir(data_dir))
    if as_json:
        print_json({"name": name, "leakage": found.sentences, "twins_in_test": found.excluded})
    else:
        console = Console(soft_wrap=True, highlight=False)
        for sentence in found.sentences:
            console.print(f"{name}: {sentence}", markup=False)
        if not found.sentences:
            console.print(f"{name}: no patient and no picture in two splits")
    if found.sentences:
        raise typer.Exit(1)


def _size(text: str) -> tuple[int, int]:
    from benchmark.data.card import SIDES

    found = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text.strip())
    sides = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not all(SIDES[0] <= side <= SIDES[1] for side in sides):
        raise BenchError(f"--size {text} must be one number or HEIGHTxWIDTH, each from {SIDES[0]} to {SIDES[1]}.")
    return sides


def _channels(number: int | None) -> Literal[1, 3] | None:
    if number is None or number == 1 or number == 3:
        return number  # type: ignore[return-value]
    raise BenchError(f"--channels {number} must be 1 or 3.")


def _window(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        centre, width = (float(part) for part in text.split(","))
    except ValueError:
        raise BenchError(f"--window {text} must be two numbers, CENTRE,WIDTH.") from None
    if width < 1:
        raise BenchError(f"--window {text}: the width must be at least 1.")
    return centre, width
