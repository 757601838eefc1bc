"""Which cells an entry must have verdicts for: those of the matrix it was run under."""

from functools import lru_cache

import pandas as pd

from benchmark.matrix import Matrix, load_matrix
from benchmark.results.schema import ATTACK_TRACKS
from leaderboard.entries import Entry, RequiredCells


def required_cells(matrix: Matrix, digest: str) -> RequiredCells:
    """Return the rule for entries run under this matrix; of other matrices nothing is known, so nothing is required.

    Args:
        matrix: the matrix.
        digest: its sha256, which rows carry as ``matrix_hash``.
    """

    def rule(entry: Entry) -> set[tuple[str, str, str, float]]:
        profiles = entry.provenance("profile")
        if entry.provenance("matrix_hash") != [digest] or len(profiles) != 1 or profiles[0] not in matrix.profile:
            return set()
        attacked = entry.rows[entry.rows["track"].isin(ATTACK_TRACKS)]
        # The judge repeats draws for randomised defenses alone, so the rows themselves tell the kind.
        stochastic = bool((attacked["draws"] > 1).any())
        return {
            (track, cell.name, cell.norm, float(eps))
            for track in ATTACK_TRACKS
            # A track without rows is missing as a whole; its figures are absent, not zero.
            if (attacked["track"] == track).any()
            for cell in matrix.cells(_computed_as(attacked, track), stochastic=stochastic, profile=profiles[0])
            for eps in cell.eps_255
        }

    return rule


def _computed_as(attacked: pd.DataFrame, track: str) -> str:
    """Return the track whose cells these rows are: a plain classifier's adaptive rows are its white-box ones."""
    given = attacked.loc[attacked["track"] == track, "same_as"].astype(object).fillna("").unique().tolist()
    return str(given[0]) if len(given) == 1 and given[0] in ATTACK_TRACKS else track


@lru_cache(maxsize=1)
def in_force() -> RequiredCells:
    """Return the rule of the matrix that this version of the benchmark ships."""
    return required_cells(*load_matrix())
