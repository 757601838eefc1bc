"""``bench fetch``."""

from typing import Annotated

import typer

from benchmark.cli.console import Console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fetch")(fetch_command)


def fetch_command(
    source: Annotated[
        str, typer.Argument(help="Folder of a checkout, or path or address of a .zip or .tar.gz of one.")
    ],
) -> None:
    """Get all submissions and official rows, which the installed package does not contain.

    They are stored in your cache folder; commands outside a checkout then use them.
    """
    from benchmark.fetching import fetch

    console = Console(soft_wrap=True)
    with Console(stderr=True).status(f"fetching {source}"):
        got = fetch(source)
    console.print(f"{got.files} files, {got.size / 1e6:.0f} MB, at {got.folder}", highlight=False, markup=False)
