"""What the site shows of the threat-model matrix."""

from dataclasses import dataclass

from benchmark.matrix import Cell, Matrix
from leaderboard.evidence import OfficialEvidence

WHEN = {"always": "every defense", "deterministic": "deterministic ones", "stochastic": "randomised ones"}
"""Words for the kind of defense that is evaluated with a cell."""


@dataclass(frozen=True)
class MatrixView:
    """The matrix, its sha256, which cells decided in the rows shown, and its cells grouped by track for pages."""

    matrix: Matrix
    hash: str
    evidence: OfficialEvidence

    @property
    def tracks(self) -> tuple[str, ...]:
        """Attack tracks that the matrix has cells for."""
        return self.matrix.attack_tracks

    @property
    def by_track(self) -> list[tuple[str, list[Cell]]]:
        """Cells of each attack track."""
        return [(track, [cell for cell in self.matrix.cell if cell.track == track]) for track in self.tracks]

    @property
    def skipped(self) -> list[tuple[str, list[str]]]:
        """Cells of each track that a randomised defense is not evaluated with."""
        return self._met_by("deterministic")

    @property
    def instead(self) -> list[tuple[str, list[str]]]:
        """Cells of each track that only a randomised defense is evaluated with."""
        return self._met_by("stochastic")

    @property
    def fewer(self) -> list[tuple[str, float, float]]:
        """Cells with a smaller query budget for a randomised defense: name, its queries, and those of others."""
        return [
            (cell.name, float(cell.stochastic["queries"]), float(cell.params["queries"]))
            for cell in self.matrix.cell
            if "queries" in cell.stochastic
        ]

    def _met_by(self, kind: str) -> list[tuple[str, list[str]]]:
        named = [(track, [cell.name for cell in cells if cell.when == kind]) for track, cells in self.by_track]
        return [(track, names) for track, names in named if names]


NEEDS = {
    "alternative-backward": "with stages whose backward pass can be replaced",
    "detector": "with a detector",
}
"""Words for what a defense must have for a cell."""


def meets(cell: Cell) -> str:
    """Return the kind of defense that is evaluated with a cell, in words."""
    return ", ".join(part for part in (WHEN[cell.when], NEEDS.get(cell.needs, "")) if part)


def parameters(cell: Cell) -> str:
    """Return a cell's parameters in words, with those that differ for randomised defenses."""
    params = dict(cell.params)
    if cell.surrogate:
        params["surrogate"] = cell.surrogate
    if cell.backward != "declared":
        params["backward pass"] = cell.backward
    told = ", ".join(f"{name} {_plain(value)}" for name, value in params.items())
    if cell.stochastic:
        other = ", ".join(f"{name} {_plain(value)}" for name, value in cell.stochastic.items())
        told += f" (randomised: {other})"
    return told.replace("_", " ") or "–"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
