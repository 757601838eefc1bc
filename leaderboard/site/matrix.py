"""What the site shows of the threat-model matrix."""

from dataclasses import dataclass

from benchmark.matrix import Cell, Matrix
from benchmark.results.schema import ATTACK_TRACKS

WHEN = {"always": "every defense", "deterministic": "deterministic ones", "stochastic": "randomised ones"}
"""Words for the kind of defense that meets a cell."""


@dataclass(frozen=True)
class MatrixView:
    """The matrix, its sha256, and its cells grouped by track in the order in which pages show tracks."""

    matrix: Matrix
    hash: str

    @property
    def tracks(self) -> tuple[str, ...]:
        """Attack tracks that the matrix has cells for."""
        return self.matrix.attack_tracks

    @property
    def by_track(self) -> list[tuple[str, list[Cell]]]:
        """Cells of each attack track."""
        grouped = [(track, [cell for cell in self.matrix.cell if cell.track == track]) for track in ATTACK_TRACKS]
        return [(track, cells) for track, cells in grouped if cells]


def parameters(cell: Cell) -> str:
    """Return a cell's parameters in words, with those that differ for randomised defenses."""
    told = ", ".join(f"{name} {_plain(value)}" for name, value in cell.params.items())
    if cell.stochastic:
        other = ", ".join(f"{name} {_plain(value)}" for name, value in cell.stochastic.items())
        told += f" (randomised: {other})"
    return told.replace("_", " ") or "–"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
