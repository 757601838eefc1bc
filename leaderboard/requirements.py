"""Which cells an entry must have verdicts for: those of the matrix it was run under."""

from functools import lru_cache

import pandas as pd

from benchmark.matrix import Matrix, load_matrix
from benchmark.results.schema import ATTACK_TRACKS
from leaderboard.entries import Entry, Required, is_unit_wide


def required(matrix: Matrix, digest: str) -> Required:
    """Return what this matrix asks; of cells of other matrices nothing is known, so none is required.

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
        # What only some defenses meet is asked of those whose rows show that they met it.
        ran = set(attacked[["track", "attack"]].drop_duplicates().astype(str).itertuples(index=False, name=None))
        has = {cell.needs for cell in matrix.cell if (cell.track, cell.name) in ran}
        computed_as = _computed_as(attacked)
        return {
            (track, cell.name, cell.norm, float(eps))
            for track in matrix.attack_tracks
            # A track without rows is missing as a whole; its figures are absent, not zero.
            if track in computed_as
            for cell in matrix.cells(computed_as[track], stochastic=stochastic, has=has, profile=profiles[0])
            for eps in cell.eps_255
        }

    return Required(digest, matrix.tracks, rule)


def _computed_as(attacked: pd.DataFrame) -> dict[str, str]:
    """Return for each track with rows the one whose cells they are: a plain classifier's adaptive are its white-box."""
    # The gap of a whole unit names no cell, nor whose cells they would have been.
    celled = attacked.loc[~is_unit_wide(attacked), ["track", "same_as"]].drop_duplicates().astype(object).fillna("")
    lent = {
        str(track): str(given.iloc[0])
        for track, given in celled.groupby("track", sort=False)["same_as"]
        if len(given) == 1 and given.iloc[0] in ATTACK_TRACKS
    }
    return {str(track): lent.get(str(track), str(track)) for track in attacked["track"].unique()}


@lru_cache(maxsize=1)
def in_force() -> Required:
    """Return what the matrix asks that this version of the benchmark ships."""
    return required(*load_matrix())
