"""Metrics of the corruption track: flip probability (Robust-Benchmark, paper 004, Eq. 5) and accuracy per severity."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from leaderboard.bootstrap import Floats
from leaderboard.entries import EntryRows, is_unit_wide, once_per_entry

NOISE_SUFFIX = "_noise"
"""Perturbations whose frames are independent draws: each frame is compared with frame 0, not with its neighbour."""


@dataclass(frozen=True)
class Sequences:
    """Per-image figures of the corruption track.

    ``flips`` and ``right`` are (images, perturbations, severities): the share of frame pairs whose prediction changed,
    and the share of frames after the first whose prediction is the true class. NaN where a sequence is missing.
    ``gaps`` counts the sequences that are missing or hold a frame without a verdict.
    """

    images: list[str]
    groups: list[str]
    perturbations: list[str]
    severities: list[int]
    flips: Floats
    right: Floats
    gaps: int


@once_per_entry
def sequences(entry: EntryRows) -> Sequences | None:
    """Aggregate the corruption rows of an entry per image; None when there are none."""
    rows = entry.track("corruption")
    rows = rows[~is_unit_wide(rows)]
    if rows.empty:
        return None
    image, images = pd.factorize(rows["sample_id"].astype(str), sort=True)
    kind, kinds = pd.factorize(rows["attack"].astype(str), sort=True)
    severity, severities = pd.factorize(rows["severity"].to_numpy(dtype=np.int64), sort=True)
    predicted = _frames(rows["preds"])
    labels = rows["label"].to_numpy(dtype=np.float64)
    noise = np.array([name.endswith(NOISE_SUFFIX) for name in kinds])[kind]
    before = np.where(noise[:, None], predicted[:, :1], predicted[:, :-1])
    whole = (rows["status"] == "ok").to_numpy() & np.isfinite(predicted).all(axis=1)
    shape = (len(images), len(kinds), len(severities))
    flips, rights = np.full((2, *shape), np.nan)
    place = (image[whole], kind[whole], severity[whole])
    if whole.any():
        flips[place] = (predicted[:, 1:] != before).mean(axis=1)[whole]
        rights[place] = (predicted[:, 1:] == labels[:, None]).mean(axis=1)[whole]
    groups = np.empty(len(images), dtype=object)
    groups[image] = rows["group_id"].astype(object).fillna(rows["sample_id"]).to_numpy()
    return Sequences(
        [str(name) for name in images],
        [str(group) for group in groups],
        [str(name) for name in kinds],
        [int(level) for level in severities],
        flips,
        rights,
        int(np.isnan(flips).sum()),
    )


def _frames(sequences: pd.Series) -> Floats:
    """Predictions (sequences, frames), NaN where a frame has none; all sequences have as many as the longest."""
    lengths = [0 if one is None else len(one) for one in sequences]
    table = np.full((len(lengths), max(lengths, default=0)), np.nan)
    for place, one in enumerate(sequences):
        if one is not None:
            table[place, : len(one)] = np.asarray(one, dtype=np.float64)
    return table
