"""What a section is."""

from collections.abc import Callable
from dataclasses import dataclass

from ablation_sections.bench import Bench, Json
from benchmark.data.split import Split


@dataclass(frozen=True)
class Section:
    """One table: ``run`` measures what a JSON file can hold, ``tell`` words it, given the images.

    ``sources`` are the folders of the package whose code decides what is measured.
    """

    title: str
    note: str
    run: Callable[[Bench], Json]
    tell: Callable[[Json, Split], str]
    sources: tuple[str, ...] = ("attacks", "access", "defense")
