"""``bench attack``: one attack on one submission, its images to look at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmark.cli.console import Console
from benchmark.cli.image_files import places
from benchmark.cli.output import checked_data_dir, refuse_unwritable, wide_console
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError, did_you_mean
from benchmark.matrix.budgets import wrong_budget
from benchmark.results.schema import DIAGNOSTIC

if TYPE_CHECKING:
    from benchmark.data.split import Split
    from benchmark.engine.shots import Shot
    from benchmark.engine.workplace import Workplace
    from benchmark.matrix import Cell
    from benchmark.verify import Verified


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("attack")(attack_command)


def attack_command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A cell of the matrix, such as pgd-20 (see 'bench matrix').")],
    submission: Annotated[str, typer.Option("--submission", "-s", help="Name or folder of the entry.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Data set.")],
    eps: Annotated[float | None, typer.Option(help="Budget in the cell's unit. Default: its largest.")] = None,
    save: Annotated[Path | None, typer.Option(help="Folder for three PNG files per image.")] = None,
    track: Annotated[
        str | None,
        typer.Option(
            "--track",
            "-t",
            help="Track, or diagnostic; if the cell is in several, the one with the most knowledge.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Use at most this many images of the official subset.")] = 8,
    matrix_file: Annotated[Path | None, typer.Option("--matrix", help="Another matrix file.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data files. Default: BENCH_DATA.")] = None,
    board: BoardDir = None,
) -> None:
    """Run one attack, judge its images with the deployed defense, save clean, perturbation and adversarial images.

    The saved perturbation is centred on grey and scaled so that its largest change spans the whole range.
    """
    import tempfile

    from benchmark.cli.engines import check_device
    from benchmark.engine import RunSettings, Unit
    from benchmark.engine.cell_run import CellRun
    from benchmark.engine.workplace import Workplace
    from benchmark.host.line import reason_of

    check_device(device)
    checked_data_dir(data_dir)
    if save is not None:
        refuse_unwritable(save, "--save")
    with tempfile.TemporaryDirectory() as scratch:
        settings = RunSettings(
            root_of(context, board).path, Path(scratch), data_dir, limit=limit, device=device, matrix=matrix_file
        )
        workplace = Workplace(settings)
        if dataset not in workplace.entry(submission).manifest.datasets:
            own = ", ".join(workplace.entry(submission).manifest.datasets)
            raise BenchError(f"submission '{submission}' does not name the data set '{dataset}'; it names {own}.")
        where, cell = _find(workplace, submission, dataset, name, track)
        budget = cell.eps_255[-1] if eps is None else eps
        wrong = wrong_budget(cell.norm, budget, workplace.card(dataset).height * workplace.card(dataset).width)
        if wrong:
            raise BenchError(f"--eps {wrong}.")
        unit = Unit(submission, dataset, where, 0)
        split = workplace.images_of(unit)
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console()) as progress:
            what = f"{where} {cell.name} at {budget:g} on {len(split)} images"
            task = progress.add_task(what, total=None)

            def hear(queries: int, gradients: int, most: int | None) -> None:
                spent = f"{queries} queries" if most else f"{gradients} gradients"
                progress.update(task, description=f"{what}, {spent} each", total=most, completed=queries)

            try:
                shots, checked = CellRun(workplace, unit, hear).shoot(cell, budget, list(range(len(split))))
            except BenchError:
                raise
            except (Exception, SystemExit) as error:
                raise BenchError(
                    f"{cell.name} on '{submission}' failed with {reason_of(error)}; "
                    f"'bench validate {submission}' tells whether the defense keeps the contract."
                ) from error
            progress.update(task, description=what, total=1, completed=1)
    _print(split, shots, workplace.card(dataset).classes)
    if save is not None:
        _save(save, split, checked)
        Console(soft_wrap=True).print(f"{3 * len(split)} images under {save}/", highlight=False, markup=False)


def _find(workplace: "Workplace", submission: str, dataset: str, name: str, track: str | None) -> "tuple[str, Cell]":
    """The cell of that name that this defense is evaluated with, and its track; the diagnostics' only if asked for.

    Raises:
        BenchError: there is none, in that track or at all.
    """
    from benchmark.engine import Unit

    known = (*workplace.matrix.attack_tracks, DIAGNOSTIC)
    tracks = (track,) if track else workplace.matrix.attack_tracks[::-1]
    if track and track not in known:
        raise BenchError(f"track '{track}' has no attacks.{did_you_mean(track, known)}")
    met = [(each, cell) for each in tracks for cell in workplace.cells_of(Unit(submission, dataset, each, 0))]
    for each, cell in met:
        if cell.name == name:
            return each, cell
    where = f"track '{track}'" if track else "the matrix"
    raise BenchError(
        f"{where} has no cell '{name}' that '{submission}' is evaluated with."
        f"{did_you_mean(name, {cell.name for _, cell in met})}"
    )


def _print(split: "Split", shots: "list[Shot]", classes: list[str]) -> None:
    table = Table()
    table.add_column("Image", overflow="fold")
    for head in ("Label", "Prediction", "Broken", "L-inf /255", "L2", "Pixels", "Queries", "Gradients"):
        table.add_column(head)
    names = [escape(name) for name in classes]
    for sample, label, shot in zip(split.ids, split.labels.tolist(), shots, strict=True):
        if shot.outcome is None:
            table.add_row(escape(sample), names[label], escape(shot.reason))
            continue
        answer = "abstains" if shot.outcome.pred < 0 else names[shot.outcome.pred]
        table.add_row(
            *(escape(sample), names[label], answer, "no" if shot.outcome.right else "yes", f"{shot.linf * 255:.2f}"),
            *(f"{shot.l2:.3f}", str(shot.pixels), str(shot.queries), str(shot.gradients)),
        )
    wide_console().print(table)


def _save(folder: Path, split: "Split", checked: "Verified") -> None:
    import torch
    from torchvision.utils import save_image

    for place, clean, adversarial in zip(places(split.ids), split.images, checked.images.cpu(), strict=True):
        change = adversarial - clean
        largest = float(change.abs().max())
        shown = 0.5 + change / (2 * largest) if largest > 0 else torch.full_like(change, 0.5)
        stem = folder / place
        stem.parent.mkdir(parents=True, exist_ok=True)
        for what, image in (("clean", clean), ("perturbation", shown), ("adversarial", adversarial)):
            save_image(image, stem.with_name(f"{stem.name}-{what}.png"))
