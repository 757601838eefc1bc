"""How commands print, and the options that several share."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmark.cli.console import Console, say, writes_utf8
from benchmark.errors import BenchError

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output instead of a table.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of data files. Default: BENCH_DATA.")]


def print_json(document: object, indent: int = 2) -> None:
    """Write a document as JSON: readable where the stream is UTF-8, in plain ASCII elsewhere."""
    say(json.dumps(document, indent=indent, ensure_ascii=not writes_utf8()))


def checked_data_dir(data_dir: Path | None) -> Path | None:
    """Return ``data_dir`` unless it is given and no folder.

    Raises:
        BenchError: it is not a folder.
    """
    if data_dir is not None and not data_dir.is_dir():
        what = "is a file" if data_dir.exists() else "does not exist"
        raise BenchError(f"--data-dir {data_dir} {what}; give the folder that holds the data files.")
    return data_dir


def refuse_unwritable(folder: Path, what: str) -> None:
    """Refuse a folder that cannot be made or written, before the work whose results it is for.

    Raises:
        BenchError: it is a file, lies below one, or may not be written; ``what`` begins the sentence.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        below = "is a file" if there == folder else f"lies below the file {there}"
        raise BenchError(f"{what} {folder} {below}; give a folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BenchError(f"{what} {folder} cannot be written ({there} is read-only for you); give another folder.")


def wide_console() -> Console:
    """A console for tables; where nobody watches (a pipe, a file) it is wide enough to cut nothing short."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def table_of(*heads: str, whole: tuple[str, ...]) -> Table:
    """A table in which the columns ``whole`` are never cut or folded."""
    table = Table()
    for head in heads:
        table.add_column(head, no_wrap=head in whole, overflow="fold")
    return table
