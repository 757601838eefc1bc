"""What a section is."""

from collections.abc import Callable
from dataclasses import dataclass

from ablation_sections.bench import Bench, Json
from benchmark.data.split import Split


@dataclass(frozen=True)
class Section:
    """One table: ``run`` measures what a JSON file can hold, ``tell`` words it, given the images.

    ``sources`` are patterns of the files, from the project's root, that decide what is measured.
    """

    title: str
    note: str
    run: Callable[[Bench], Json]
    tell: Callable[[Json, Split], str]
    sources: tuple[str, ...] = tuple(f"benchmark/{room}/**/*.py" for room in ("attacks", "access", "defense"))
