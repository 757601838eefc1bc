"""The diagnostics file as typed data: attacks that rank nobody and tell whether an entry can be believed."""

import hashlib
from functools import cache
from pathlib import Path

from benchmark.matrix.cell import Cell, Positive
from benchmark.toml_model import Strict, read_toml

DIAGNOSTICS_FILE = Path(__file__).parent / "diagnostics-v2.toml"
"""The diagnostics in force."""

GRADIENT = "gradient"
"""``attack`` of the rows that hold the size of the adaptive gradient at each clean image, in ``score``."""

INFERENCE = "inference"
"""``attack`` of the rows that hold what one decision takes: in ``score`` GFLOPs, as torch counts those of convolutions
and products of matrices, and in ``seconds`` the shortest of several measurements, which other loads alter."""


class Diagnostics(Strict):
    """The whole file.

    Attributes:
        version: raised when a cell changes.
        images: at most so many images of the official subset; ``quick_images`` in profiles that are not official.
        twin: whether attacks ask a defense's fast twin, as in a matrix.
        cell: attacks; an unranked one attacks every image that is classified correctly without attack, others what
            still stands.
    """

    version: str
    twin: bool = False
    images: Positive
    quick_images: Positive
    cell: list[Cell]


@cache
def load_diagnostics() -> tuple[Diagnostics, str]:
    """Read the diagnostics in force and return them with the sha256 of their file.

    Raises:
        BenchError: the file is wrong.
    """
    return read_toml(DIAGNOSTICS_FILE, Diagnostics), hashlib.sha256(DIAGNOSTICS_FILE.read_bytes()).hexdigest()
