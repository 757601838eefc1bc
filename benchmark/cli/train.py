"""``bench train``: reproduce a weight file from its recipe."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.console import Console, say
from benchmark.cli.output import table_of, wide_console
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError

if TYPE_CHECKING:
    from benchmark.data.card import Card
    from benchmark.root import Root
    from benchmark.training import Epoch, TrainingReport
    from benchmark.training.plans import Plan


@dataclass(frozen=True)
class Job:
    """One recipe on one data set.

    Attributes:
        folder: where the recipe lies that the user named.
        source: the recipe that is trained, another entry's where that one says ``same_as``.
        plan: what ``source`` says.
        dataset: name of the data set.
        file: the weight file, relative to ``folder`` or to the folder that the user gave.
        target: the weight file.
        enter: whether its sha256 goes into the manifest of the entry in ``folder``.
    """

    folder: Path
    source: Path
    plan: "Plan"
    dataset: str
    file: str
    target: Path
    enter: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train_command)


def _list_and_stop(wanted: bool) -> None:
    """Print what a recipe may say, and stop."""
    if not wanted:
        return
    from benchmark.models import ARCHITECTURES, options_of
    from benchmark.training.methods import METHODS
    from benchmark.training.recipe import tables_of

    console = wide_console()
    table = table_of("method", "needs tables", "takes tables", "what it is", whole=("method",))
    for name, kind in METHODS.items():
        needs, takes = tables_of(name)
        table.add_row(name, ", ".join(sorted(needs)), ", ".join(sorted(takes)), _first_sentence(kind.__doc__))
    console.print(table)
    table = table_of("architecture", "options", whole=("architecture",))
    for name in ARCHITECTURES:
        # Mean and deviation are those of the training images.
        table.add_row(name, ", ".join(option for option in options_of(name) if option not in ("mean", "std")))
    console.print(table)
    console.print('kind = "filter" trains one of the filters comdefend and hgd before a classifier; see their entries.')
    raise typer.Exit


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").split("\n\n", maxsplit=1)[0].split())


def train_command(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="A submission, 'surrogates', or the path of a recipe.toml.")],
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", "-d", help="Data set; repeat for several. Default: all of the recipe."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write to this folder instead of the submission's, for example to compare hashes."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace weights that this recipe did not make; a copy is kept beside them. Enter the new weights in "
            "place of another file that the manifest names.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data files. Default: BENCH_DATA.")] = None,
    board: BoardDir = None,
    _listed: Annotated[
        bool,
        typer.Option(
            "--list", callback=_list_and_stop, is_eager=True, help="List methods and architectures, and stop."
        ),
    ] = False,
) -> None:
    """Train a network from a recipe and enter the weights' sha256 in the submission's manifest."""
    from benchmark.cli.engines import check_device
    from benchmark.memory import keep_freed_memory
    from benchmark.training.plans import datasets_of, read_plan
    from benchmark.training.recipe import find_recipes

    check_device(device)
    keep_freed_memory()
    root = root_of(context, board)
    plans = [(path, *read_plan(root, path)) for path in find_recipes(root, recipe)]
    named = [datasets_of(root, path) for path, _, _ in plans]
    known = {name for names in named for name in names}
    wanted = set(dataset or known)
    if wanted - known:
        raise BenchError(
            f"recipe '{recipe}' is not for data set '{min(wanted - known)}'; it names {', '.join(sorted(known))}."
        )
    jobs = [
        _job(path, source, plan, name, output)
        for (path, source, plan), names in zip(plans, named, strict=True)
        for name in names
        if name in wanted
    ]
    _check(root, jobs, overwrite)
    aside = [report for job in jobs for report in [_train_one(root, job, overwrite, device, data_dir)] if report]
    if aside:
        job, report = aside[0]
        raise BenchError(
            f"{job.target} became another file during the training and was left as it is; the trained weights are in "
            f"{report.weights}: move them there if they are the ones that you want."
        )


def _job(path: Path, source: Path, plan: "Plan", dataset: str, output: Path | None) -> Job:
    try:
        file = plan.weights.format(dataset=dataset)
    except (KeyError, IndexError, ValueError):
        raise BenchError(
            f"{source}: weights = '{plan.weights}' may hold no braces but {{dataset}}; correct it."
        ) from None
    enter = output is None and (path.parent / "submission.toml").is_file()
    return Job(path.parent, source, plan, dataset, file, (output or path.parent) / file, enter)


def _owner(job: Job) -> str:
    """The entry whose weights the manifest beside the recipe names; empty where they are its own."""
    from benchmark.submission.manifest import read_manifest

    if not job.enter:
        return ""
    weights = read_manifest(job.folder).weights.get(job.dataset)
    return weights.entry if weights else ""


def _refuse_redirecting(job: Job) -> None:
    """Keep the manifest from naming another network than it does.

    Raises:
        BenchError: it names another file than the recipe writes, which the recipe did not make.
    """
    from benchmark.submission.manifest import read_manifest
    from benchmark.training.target import made_by

    named = read_manifest(job.folder).weights.get(job.dataset)
    if named is None or not named.file:
        return
    deployed = job.folder / named.file
    if deployed.resolve() != job.target.resolve() and not made_by(job.plan, job.dataset, deployed, named.sha256):
        raise BenchError(
            f"{job.folder / 'submission.toml'} names {named.file} for '{job.dataset}', which this recipe did not make, "
            f"and would name {job.file} instead, which is another network; give --overwrite if that is meant, or "
            "--output FOLDER."
        )


def _check(root: "Root", jobs: list[Job], overwrite: bool) -> None:
    """Find out before the first epoch what would keep the last one from being written.

    Raises:
        BenchError: two jobs write the same file, a file would be lost, the package's own would be changed, or the
            manifest cannot take the weights.
    """
    from benchmark.submission.registration import registered
    from benchmark.training.target import Target

    owners: dict[Path, Job] = {}
    for job in jobs:
        root.refuse_writing(job.target, "train a copy of the entry or give --output FOLDER.")
        owner = _owner(job)
        if job.enter and owner:
            raise BenchError(
                f"{job.folder.name} uses the weights of '{owner}' on '{job.dataset}'; run 'bench train {owner}', or "
                "give --output FOLDER to train them apart."
            )
        other = owners.setdefault(job.target.resolve(), job)
        if other is not job:
            raise BenchError(
                f"{other.source} on '{other.dataset}' and {job.source} on '{job.dataset}' would both write "
                f"{job.target}; name one data set with --dataset, or put {{dataset}} into the recipe's weights."
            )
        Target(job.plan, job.dataset, job.target, overwrite)
        if job.enter:
            registered(job.folder, job.dataset, job.file, "0" * 64)
            if not overwrite:
                _refuse_redirecting(job)


def _train_one(
    root: "Root", job: Job, overwrite: bool, device: str, data_dir: Path | None
) -> "tuple[Job, TrainingReport] | None":
    """Train on one data set; returns what was made where it could not be written to its own place."""
    from rich.progress import Progress

    from benchmark.data.registry import find_card, load_split
    from benchmark.submission.registration import register_weights
    from benchmark.training.plans import total_epochs, train_plan

    console, plan = Console(), job.plan
    card = find_card(job.dataset, root)
    splits = load_split(card, "train", root, data_dir), load_split(card, "val", root, data_dir)
    with Progress(console=console) as progress:
        task = progress.add_task(f"{plan.method} on {job.dataset}", total=total_epochs(plan))

        shown: list[Epoch] = []

        def show(epoch: "Epoch") -> None:
            shown.append(epoch)
            progress.console.print(_line(epoch, plan.balanced), highlight=False, soft_wrap=True)
            progress.update(task, completed=len(shown))

        report = train_plan(
            plan,
            card,
            splits,
            job.target,
            show,
            device,
            job.source.parent,
            partial(progress.advance, task),
            overwrite,
        )
    console.print(
        f"{report.weights}\n  sha256 {report.sha256}\n  chosen: epoch {report.best.number}",
        highlight=False,
        markup=False,
    )
    console.print(f"  training data {splits[0].content_hash}", highlight=False)
    if report.other_data:
        console.print("  the old weights were made from other training data, so they are kept", highlight=False)
    for path in report.kept:
        console.print(f"  kept the old file as {path}", highlight=False, markup=False, soft_wrap=True)
    if report.weights != job.target:
        return job, report
    if job.enter:
        register_weights(job.folder, job.dataset, job.file, report.sha256)
        _warn_of_another_network(root, job.folder, plan, card, report.weights)
    return None


def _warn_of_another_network(root: "Root", folder: Path, plan: "Plan", card: "Card", weights: Path) -> None:
    from benchmark.submission import find_entry
    from benchmark.training.deployed import deploys

    entry = find_entry(root, str(folder))
    if card.name in entry.manifest.datasets and not deploys(entry, plan, card, weights):
        say(
            f"warning: {folder / entry.manifest.entry_point} builds another network for '{card.name}' than the recipe "
            "trained: the same weights give other answers; unless that is meant, give it the recipe's architecture "
            "and options.",
            error=True,
        )


def _line(epoch: "Epoch", balanced: bool) -> str:
    """What is said of an epoch; ``balanced`` is the accuracy that validation measures."""
    stage = "first stage, " if epoch.first_stage else ""
    robust = "" if epoch.robust is None else f", {epoch.robust:.3f} under attack"
    again = " (done before the interruption)" if epoch.resumed else ""
    kind = "balanced accuracy" if balanced else "accuracy"
    return f"{stage}epoch {epoch.number}: loss {epoch.loss:.3f}, validation {kind} {epoch.clean:.3f}{robust}{again}"
