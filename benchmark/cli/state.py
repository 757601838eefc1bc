"""What every command shares."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmark.errors import BenchError
from benchmark.root import Root, open_board

BoardDir = Annotated[
    Path | None,
    typer.Option("--board", help="Folder of a private board, with data sets, entries, results and site of its own."),
]


@dataclass(frozen=True)
class State:
    """Options given before the command's name."""

    root: Root
    given: bool = False


def root_of(context: typer.Context, board: Path | None = None, make: bool = False) -> Root:
    """The project's root, or a private board.

    Args:
        context: the command's.
        board: what ``--board`` says.
        make: make the board where there is none yet.

    Raises:
        BenchError: both ``--root`` and ``--board`` are given, or as :func:`benchmark.root.open_board`.
    """
    state = context.obj
    assert isinstance(state, State)
    if board is None:
        return state.root
    if state.given:
        raise BenchError("--root and --board exclude each other; give one.")
    return open_board(board, make)
