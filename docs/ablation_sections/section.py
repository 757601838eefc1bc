"""A section of the document."""

from collections.abc import Callable
from dataclasses import dataclass

from ablation_sections.bench import Bench, Json
from benchmark.data.split import Split


@dataclass(frozen=True)
class Section:
    """One table: ``run`` measures and returns JSON, ``tell`` writes the text from it, given the images.

    ``sources`` are patterns, relative to the project's root, of the files that the measurement depends on.
    """

    title: str
    note: str
    run: Callable[[Bench], Json]
    tell: Callable[[Json, Split], str]
    sources: tuple[str, ...] = tuple(f"benchmark/{room}/**/*.py" for room in ("attacks", "access", "defense"))
