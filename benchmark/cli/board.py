"""``bench report``, ``bench site``, ``bench serve``, ``bench compare``: from rows to tables and pages."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
