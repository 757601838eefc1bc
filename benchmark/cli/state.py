"""What every command shares."""

from dataclasses import dataclass

import typer

from benchmark.root import Root


@dataclass(frozen=True)
class State:
    """Options given before the command's name."""

    root: Root


def root_of(context: typer.Context) -> Root:
    """The project's root."""
    state = context.obj
    assert isinstance(state, State)
    return state.root
