"""Which cells an entry must have verdicts for: those of the matrix it was run under."""

from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from benchmark.matrix import Matrix, load_matrix
from benchmark.matrix.diagnostics import load_diagnostics
from benchmark.matrix.rules import rules
from leaderboard.entries import EntryRows, Required, is_unit_wide


def required(matrix: Matrix, digest: str) -> Required:
    """Return what this matrix asks; of cells of other matrices nothing is known, so none is required.

    Args:
        matrix: the matrix.
        digest: its sha256, which rows carry as ``matrix_hash``.
    """

    def rule(entry: EntryRows) -> set[tuple[str, str, str, float]]:
        profiles = entry.provenance("profile")
        if entry.provenance("matrix_hash") != [digest] or len(profiles) != 1 or profiles[0] not in matrix.profile:
            return set()
        # The judge repeats draws for randomised defenses alone, so the rows themselves tell the kind.
        seen = {track: _seen(rows) for track, rows in entry.attacks()}
        stochastic = any(one.repeated for one in seen.values())
        # What only some defenses are evaluated with is asked of those whose rows show that they were.
        has = {cell.needs for cell in matrix.cell if cell.track in seen and cell.name in seen[cell.track].attacks}
        computed_as = {track: one.lent_by or track for track, one in seen.items()}
        return {
            (track, cell.name, cell.norm, float(eps))
            for track in matrix.attack_tracks
            # A track without rows is missing as a whole; its figures are absent, not zero.
            if track in computed_as
            for cell in matrix.cells(computed_as[track], stochastic=stochastic, has=has, profile=profiles[0])
            for eps in cell.eps_255
        }

    official = frozenset(name for name, profile in matrix.profile.items() if profile.official)
    return Required(digest, matrix.tracks, rule, load_diagnostics()[1], official)


@dataclass(frozen=True)
class _Seen:
    """What the rows of a track show: whether the judge repeated draws, the attacks, and whose cells they all are."""

    repeated: bool
    attacks: frozenset[str]
    lent_by: str


def _seen(rows: pd.DataFrame) -> _Seen:
    return _Seen(
        bool((rows["draws"] > 1).any()), frozenset(rows["attack"].dropna().astype(str).unique()), lent_by(rows)
    )


def lent_by(rows: pd.DataFrame) -> str:
    """Return the track whose rows all rows of a track repeat, empty where some are its own.

    A plain classifier's adaptive rows are its white-box ones.
    """
    # The gap of a whole unit names no cell, nor whose cells they would have been.
    given = rows.loc[~is_unit_wide(rows), "same_as"].astype(object).fillna("").unique()
    return str(given[0]) if len(given) == 1 and given[0] in rules().attack_tracks else ""


@lru_cache(maxsize=1)
def in_force() -> Required:
    """Return what the matrix asks that this version of the benchmark ships."""
    return required(*load_matrix())
