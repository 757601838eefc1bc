"""What could not run, and why: a gap is a dash with its reason, never a number."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from leaderboard.entries import EntryRows, is_unit_wide, once_per_entry
from leaderboard.verdicts import CellKey


@once_per_entry
def gap_rows(entry: EntryRows) -> pd.DataFrame:
    """Return the rows of an entry that say that something could not run; few, and none of a sound entry."""
    parts = [rows[(rows["status"] != "ok").to_numpy()] for _, rows in entry.everything()]
    some = [part for part in parts if len(part)]
    return pd.concat(some, ignore_index=True) if some else entry.track("")


@dataclass(frozen=True)
class Gaps:
    """Reasons of an entry's gaps, the first of each place.

    Attributes:
        cells: (track, attack) -> reason.
        tracks: track -> reason, of gaps that are not one cell's.
    """

    cells: dict[tuple[str, str], str]
    tracks: dict[str, str]

    @staticmethod
    def of(entry: EntryRows) -> "Gaps":
        """Read them off an entry's rows."""
        rows = gap_rows(entry)
        told = rows["reason"].astype(object).fillna("").astype(str).replace("", "no verdict")
        wide = is_unit_wide(rows).to_numpy(dtype=bool)
        cells: dict[tuple[str, str], str] = {}
        tracks: dict[str, str] = {}
        for track, attack, reason, whole in zip(rows["track"], rows["attack"], told, wide, strict=True):
            if whole or track in ("clean", "corruption"):
                tracks.setdefault(str(track), reason)
            else:
                cells.setdefault((str(track), str(attack)), reason)
        return Gaps(cells, tracks)

    def in_track(self, track: str) -> str:
        """Return why a track without cells lacks a verdict; empty where it has all."""
        return self.tracks.get(track, "")

    def among(self, cells: Iterable[CellKey]) -> str:
        """Return why one of these cells, which lack a verdict, has none."""
        for cell in cells:
            reason = self.cells.get((cell.track, cell.attack)) or self.tracks.get(cell.track)
            if reason:
                return f"gap in {cell.track} {cell.attack}: {reason}"
        return "no verdict on some images"
