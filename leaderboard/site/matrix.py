"""What the site shows of the threat-model matrix, read from any object that has cells, a version and a hash."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from leaderboard.site.tracks import TRACK_TEXT

FIELDS = ("track", "attack", "suite", "norm", "eps", "steps", "restarts", "queries", "knowledge", "source")
"""Columns of the matrix page, in order."""


@dataclass(frozen=True)
class MatrixView:
    """Version, hash and cells (one mapping of :data:`FIELDS` to text per cell)."""

    version: str
    hash: str
    cells: tuple[dict[str, str], ...]

    def by_track(self) -> list[tuple[str, list[dict[str, str]]]]:
        """Group the cells by track, in the order in which pages show tracks."""
        order = [*TRACK_TEXT, *sorted({cell["track"] for cell in self.cells} - set(TRACK_TEXT))]
        grouped = [(track, [cell for cell in self.cells if cell["track"] == track]) for track in order]
        return [(track, cells) for track, cells in grouped if cells]


def matrix_view(cells: Iterable[object], version: object = "", digest: object = "") -> MatrixView:
    """Read cells that are mappings or objects with attributes named as :data:`FIELDS`; what is absent stays empty."""
    return MatrixView(str(version), str(digest), tuple({name: _text(cell, name) for name in FIELDS} for cell in cells))


def _text(cell: object, name: str) -> str:
    value = cell.get(name) if isinstance(cell, Mapping) else getattr(cell, name, None)
    if value is None:
        return ""
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_plain(item) for item in value)
    return _plain(value)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
