"""``bench``: the command line of MedRobustBench."""

import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from benchmark import __version__
from benchmark.cli.console import READER_LEFT, Console, prepare_streams, say, write_no_more
from benchmark.cli.state import State
from benchmark.errors import BenchError
from benchmark.root import find_root

app = typer.Typer(
    name="bench",
    help="Measure whether diagnosis models can be trusted under attack and on poor images, and build the leaderboard.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for _group in (
    "evaluate",
    "attack",
    "entries",
    "listings",
    "train",
    "imports",
    "intake",
    "report",
    "board",
    "compare",
    "diagnose",
    "external",
    "verify",
    "fetch",
    "doctor",
):
    import_module(f"benchmark.cli.{_group}").register(app)


# typer keeps its parent of all usage mistakes in a place that differs between versions.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

REFUSED = 2
"""Exit code after a mistake in the input."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it."""


def _version(wanted: bool) -> None:
    if wanted:
        say(f"medrobustbench {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    root: Annotated[
        Path | None, typer.Option(help="Project folder. Default: found from the current folder upwards.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log of attacks and checks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(message)s")
    context.obj = State(find_root(root), root is not None)


def _refused(sentence: str) -> int:
    told = " ".join(sentence.splitlines())
    Console(stderr=True, soft_wrap=True).print(f"error: {told}", style="bold red", markup=False, highlight=False)
    return REFUSED


def _mistaken(error: Exception) -> str:
    """Say in one sentence what is wrong with an option or argument, and where its help is."""
    message = " ".join(error.format_message().split()).rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return f"{message}; see '{context.command_path if context else 'bench'} --help'."


def _run() -> int:
    """Run ``bench`` and return its exit code; a mistake in the input is told in one sentence."""
    try:
        code: int | None = app(prog_name="bench", standalone_mode=False)
        if sys.stdout is not None:  # the shell may have closed it
            sys.stdout.flush()
    except BenchError as error:
        return _refused(str(error))
    except _UsageError as error:
        # Alone, the help was asked for and has been printed.
        return REFUSED if len(sys.argv) == 1 else _refused(_mistaken(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        # A folder that cannot be written or a full disk is the user's to mend; a traceback would hide which one.
        return _refused(
            f"{error.filename or 'a file'}: {error.strerror or error}; correct the path or its permissions."
        )
    except SystemExit as stop:
        if stop.code in (None, 0):
            # No command ends itself in this way: whatever the code of an entry says, this is no success.
            return _refused("the code of an entry ended the command (sys.exit); remove the call from it.")
        code = stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        resumes = "evaluate" in sys.argv[1:]
        Console(stderr=True).print("interrupted; the same command goes on from here." if resumes else "interrupted.")
    return code or 0


def main() -> None:
    """Run ``bench``; a mistake in the input ends with one sentence and exit code 2."""
    prepare_streams()
    try:
        code = _run()
    except BrokenPipeError:
        write_no_more()
        code = READER_LEFT
    sys.exit(code)
