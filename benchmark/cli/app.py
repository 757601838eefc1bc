"""``bench``: the command line of MedRobustBench."""

import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmark import __version__
from benchmark.cli.state import State
from benchmark.errors import BenchError
from benchmark.root import find_root

app = typer.Typer(
    name="bench",
    help="Evaluate diagnosis models under attack and on bad images, and build the leaderboard.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for _group in ("evaluate", "entries", "listings", "train", "board"):
    import_module(f"benchmark.cli.{_group}").register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"medrobustbench {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    root: Annotated[
        Path | None, typer.Option(help="Project folder; found from the current folder upward when not given.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what attacks and checks log.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(message)s")
    context.obj = State(find_root(root))


def main() -> None:
    """Run ``bench``; a mistake in the input ends with one sentence and exit code 2."""
    try:
        app()
    except BenchError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="bold red", markup=False, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; the same command goes on from here.")
        sys.exit(130)
