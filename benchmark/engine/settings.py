"""What a run is asked to do, and the unit that it is made of."""

from dataclasses import dataclass, field
from pathlib import Path

from benchmark.host.limits import Limits

PARTS = ".parts"
"""Folder of finished units inside the results folder; a later run picks up what it finds there."""


CELLS = ".cells"
"""Folder beside it of what finished cells did to single images, from which a stale unit is made anew."""


@dataclass(frozen=True)
class RunSettings:
    """How units are run; nothing here but ``profile``, ``individual`` and ``limit`` may alter a row.

    Attributes:
        root: the project's folder.
        results: folder of the result rows.
        data_dir: folder of data files; None for the default.
        profile: profile of the matrix.
        individual: every cell attacks every image.
        limit: at most so many images of the official subset; None for the profile's own number.
        device: cpu, cuda or one CUDA device such as cuda:1.
        batch_size: images attacked at once at most, a matter of memory.
        batch_pixels: pixels (height times width, summed over images) that pass through a defense at once at most; half
            of it is tried when memory runs out.
        limits: what a defense may take of this machine.
        matrix: another matrix file than the one in force; its rows are never official.
    """

    root: Path
    results: Path
    data_dir: Path | None = None
    profile: str = "official"
    individual: bool = False
    limit: int | None = None
    device: str = "cpu"
    batch_size: int = 64
    batch_pixels: int = 2**20
    matrix: Path | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Unit:
    """One unit of work: its rows depend on these four names alone (and on the files that they name).

    ``submission`` is a name below ``submissions/`` or the path of an entry's folder.
    """

    submission: str
    dataset: str
    track: str
    chunk: int

    def __str__(self) -> str:
        return f"{Path(self.submission).name}/{self.dataset}/{self.track}/{self.chunk}"
