"""Why an entry cannot be ranked: gaps, missing tracks or images, mixed versions."""

import numpy as np
import pandas as pd

from benchmark.matrix.rules import rules
from benchmark.results.schema import CLEAN, CORRUPTION, PERTURBATIONS
from leaderboard.corruption import sequences
from leaderboard.entries import EntryRows, Required, is_named, is_unit_wide
from leaderboard.gaps import gap_rows
from leaderboard.indicators import has_diagnostics, indicators, reasons
from leaderboard.verdicts import Verdicts

SEVERITIES = 5
"""Severities of Robust-Benchmark (paper 004, section on the benchmark's construction)."""

UNITS = {"linf": "/255", "l2": "/255 RMS", "l0": " pixels"}
"""What follows a list of budgets of each norm."""

ONE_OF_EACH = ("submission_hash", "matrix_hash")
"""Provenance columns in which all rows of an entry must agree."""


def problems(entry: EntryRows, judged: Verdicts, required: Required) -> list[str]:
    """Return the reasons, each a clause, that keep an entry off the ranks; empty for a complete official one.

    Args:
        entry: the entry.
        judged: its verdicts.
        required: what the matrix asks of a complete entry.
    """
    tracks = required.tracks
    found = [] if entry.official else ["unofficial run"]
    # What makes a figure unbelievable comes before what makes it incomplete.
    found += reasons(indicators(entry, judged))
    found += _profiles(entry, required)
    present = set(entry.tracks)
    found += [f"track {track} is missing" for track in tracks if track not in present]
    found += [
        f"its rows come from {len(entry.provenance(column))} different values of {column}"
        for column in ONE_OF_EACH
        if len(entry.provenance(column)) > 1
    ]
    gaps = gap_rows(entry)
    found += _mixed_images(entry)
    found += _gaps(gaps)
    found += _unjudged(judged, gaps)
    found += [
        f"track {track} has no cell at the headline budget"
        for track in rules().attack_tracks
        if track in present & set(tracks) and track not in _tracks_at_headline(judged)
    ]
    found += _clean_coverage(judged)
    if entry.official and required.diagnostics_hash and not has_diagnostics(entry, required.diagnostics_hash):
        found.append(
            "the diagnostics of its gradient have not been run (bench evaluate runs them with the "
            f"{' and '.join(rules().with_view('everything'))} track)"
        )
    return found + (_corruption_coverage(entry) if entry.official else [])


def _profiles(entry: EntryRows, required: Required) -> list[str]:
    """Tell of official rows that were made with another profile than an official one."""
    if not entry.official or not required.profiles:
        return []
    made_with = entry.provenance("profile", entry.held.tracks)
    return [f"rows of profile '{name}' are marked official" for name in made_with if name not in required.profiles]


def _mixed_images(entry: EntryRows) -> list[str]:
    # Tracks that are judged on the same images.
    together = ((CLEAN,), (CORRUPTION,), entry.attack_tracks)
    hashes = [(tracks, len(entry.provenance("dataset_hash", tracks))) for tracks in together]
    return [
        f"rows of {' and '.join(tracks)} come from {count} different values of dataset_hash"
        for tracks, count in hashes
        if count > 1
    ]


def _corruption_coverage(entry: EntryRows) -> list[str]:
    corrupted = sequences(entry)
    if corrupted is None:
        return []
    kinds, levels = len(corrupted.perturbations), len(corrupted.severities)
    if (kinds, levels) != (len(PERTURBATIONS), SEVERITIES):
        return [
            f"corruption track has {kinds} of {len(PERTURBATIONS)} perturbations and "
            f"{levels} of {SEVERITIES} severities"
        ]
    if corrupted.gaps and not (entry.track("corruption")["status"] == "gap").any():
        return [f"{corrupted.gaps} corruption sequences are incomplete"]
    return []


def _gaps(gaps: pd.DataFrame) -> list[str]:
    if gaps.empty:
        return []
    whole = is_unit_wide(gaps)
    attack = gaps["attack"].astype(object).fillna("").astype(str)
    told = gaps.assign(
        cell=gaps["track"].astype(str) + (" " + attack).where(~whole & (attack != "none"), ""),
        why=gaps["reason"].astype(object).fillna("").astype(str),
    )
    found = []
    for (cell, why), part in told.groupby(["cell", "why"], sort=True):
        images = part.loc[is_named(part), "sample_id"].nunique()
        where = f"on {images} image{'s' if images != 1 else ''}" if images else "on a whole chunk of images"
        found.append(f"gap in {cell} {where}" + (f" ({why})" if why else ""))
    return found


def _tracks_at_headline(judged: Verdicts) -> set[str]:
    ranked = [judged.cells[column] for column in judged.ranked(range(len(judged.cells)))]
    return {cell.track for cell in ranked if (cell.norm, cell.eps_255) == rules().ranking.place}


def _unjudged(judged: Verdicts, gaps: pd.DataFrame) -> list[str]:
    """Tell of cells without a verdict on some image where no gap row has told it already."""
    told = {(str(row.track), str(row.attack)) for row in gaps[["track", "attack"]].drop_duplicates().itertuples()}
    whole_tracks = {str(track) for track in gaps.loc[is_unit_wide(gaps), "track"].unique()}
    budgets: dict[tuple[str, str, str, int], list[str]] = {}
    for cell, count in zip(judged.cells, np.isnan(judged.scores).sum(axis=0), strict=True):
        if count and (cell.track, cell.attack) not in told and cell.track not in whole_tracks:
            budgets.setdefault((cell.track, cell.attack, cell.norm, int(count)), []).append(f"{cell.eps_255:g}")
    return [
        f"no verdict in {track} {attack} at {', '.join(eps)}{UNITS[norm]} for {count} of {len(judged.images)} images"
        for (track, attack, norm, count), eps in budgets.items()
    ]


def _clean_coverage(judged: Verdicts) -> list[str]:
    absent = int(np.isnan(judged.clean).sum())
    return [f"{absent} attacked images have no clean verdict"] if absent else []
