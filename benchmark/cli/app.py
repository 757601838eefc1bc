"""``bench``: the command line of MedRobustBench."""

import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

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

for _group in ("evaluate", "attack", "entries", "listings", "train", "imports", "report", "board", "compare", "verify"):
    import_module(f"benchmark.cli.{_group}").register(app)


# typer keeps its parent of all usage mistakes in a place that differs between versions.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it."""


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


def _refuse(sentence: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"error: {sentence}", style="bold red", markup=False, highlight=False)
    sys.exit(2)


def _mistaken(error: Exception) -> str:
    """Say in one sentence what is wrong with an option or argument, and where its help is."""
    message = " ".join(error.format_message().split()).rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return f"{message}; see '{context.command_path if context else 'bench'} --help'."


def main() -> None:
    """Run ``bench``; a mistake in the input ends with one sentence and exit code 2."""
    try:
        code = app(prog_name="bench", standalone_mode=False)
    except BenchError as error:
        _refuse(str(error))
    except _UsageError as error:
        if len(sys.argv) == 1:
            sys.exit(2)  # the help was asked for and has been printed
        _refuse(_mistaken(error))
    except OSError as error:
        # A folder that cannot be written or a full disk is the user's to mend; a traceback would hide which one.
        _refuse(f"{error.filename or 'a file'}: {error.strerror or error}; correct the path or its permissions.")
    except SystemExit as stop:
        if stop.code in (None, 0):
            # No command ends itself in this way: whatever the code of an entry says, this is no success.
            _refuse("the code of an entry ended the command (sys.exit); remove the call from it.")
        code = stop.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        Console(stderr=True).print("interrupted; the same command goes on from here.")
    sys.exit(code)
