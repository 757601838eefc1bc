"""``bench train``: reproduce a weight file from its recipe."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmark.cli.state import root_of
from benchmark.errors import BenchError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train_command)


def train_command(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="A submission, 'surrogates', or the path of a recipe.toml.")],
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", "-d", help="Data set; all of the recipe's when not given.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write to instead of the recipe's own, to compare hashes.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data files; BENCH_DATA when not given.")] = None,
) -> None:
    """Train what a recipe describes and print the weight file's sha256."""
    from rich.progress import Progress

    from benchmark.data.registry import find_card, load_split
    from benchmark.training import find_recipes, read_recipe, train
    from benchmark.training.train import Epoch

    root = root_of(context)
    console = Console()
    for path in find_recipes(root, recipe):
        plan = read_recipe(path)
        for name in dataset or plan.datasets:
            if name not in plan.datasets:
                if len(find_recipes(root, recipe)) > 1:
                    continue
                raise BenchError(f"{path} is not for data set '{name}'; it names {', '.join(plan.datasets)}.")
            card = find_card(name, root)
            splits = (
                load_split(card, "train", root, data_dir),
                load_split(card, "val", root, data_dir),
            )
            target = (output or path.parent) / plan.weights.format(dataset=name)
            with Progress(console=console) as progress:
                task = progress.add_task(f"{plan.method} on {name}", total=plan.epochs)

                def show(epoch: Epoch, progress: Progress = progress, task: object = task) -> None:
                    robust = "" if epoch.robust is None else f", {epoch.robust:.3f} under attack"
                    progress.console.print(
                        f"epoch {epoch.number}: loss {epoch.loss:.3f}, validation {epoch.clean:.3f}{robust}"
                    )
                    progress.advance(task)  # type: ignore[arg-type]

                report = train(plan, card, splits, target, show, device)
            console.print(f"{report.weights}\n  sha256 {report.sha256}\n  chosen: epoch {report.best.number}")
            console.print(f"  training data {splits[0].content_hash}", highlight=False)
