"""Metrics of the corruption track: flip probability (Robust-Benchmark, paper 004, Eq. 5) and accuracy per severity."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leaderboard.bootstrap import Floats
from leaderboard.entries import Entry, is_unit_wide, once_per_entry
from leaderboard.verdicts import Bools

Integers = NDArray[np.int64]

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
def sequences(entry: Entry) -> Sequences | None:
    """Aggregate the corruption rows of an entry per image; None when there are none."""
    rows = entry.track("corruption")
    rows = rows[~is_unit_wide(rows)]
    if rows.empty:
        return None
    image, images = pd.factorize(rows["sample_id"].astype(str), sort=True)
    kind, kinds = pd.factorize(rows["attack"].astype(str), sort=True)
    severity, severities = pd.factorize(rows["severity"].to_numpy(dtype=np.int64), sort=True)
    frame = rows["frame"].to_numpy(dtype=np.int64)
    shape = (len(images), len(kinds), len(severities))
    sequence = np.ravel_multi_index((image, kind, severity), shape)
    order = np.lexsort((frame, sequence))
    sequence, frame = sequence[order], frame[order]
    predicted = rows["pred"].to_numpy(dtype=np.float64)[order]
    right = predicted == rows["label"].to_numpy(dtype=np.float64)[order]
    noise = np.array([name.endswith(NOISE_SUFFIX) for name in kinds])[kind[order]]
    starts = np.r_[True, sequence[1:] != sequence[:-1]]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(sequence)), 0))
    before = np.where(noise, first, np.arange(len(sequence)) - 1)
    flipped = predicted != predicted[before]
    later = ~starts
    size = int(np.prod(shape))
    frames = np.bincount(sequence[later], minlength=size).astype(np.float64)
    whole = _whole(sequence, frame, (rows["status"] == "ok").to_numpy()[order], size)
    with np.errstate(divide="ignore", invalid="ignore"):
        flips = np.bincount(sequence[later], flipped[later], size) / frames
        rights = np.bincount(sequence[later], right[later], size) / frames
    flips[~whole], rights[~whole] = np.nan, np.nan
    groups = np.empty(len(images), dtype=object)
    groups[image] = rows["group_id"].astype(object).fillna(rows["sample_id"]).to_numpy()
    return Sequences(
        [str(name) for name in images],
        [str(group) for group in groups],
        [str(name) for name in kinds],
        [int(level) for level in severities],
        flips.reshape(shape),
        rights.reshape(shape),
        int((~whole).sum()),
    )


def _whole(sequence: Integers, frame: Integers, judged: Bools, size: int) -> Bools:
    """Tell which sequences are judged on every frame from 0 to the last frame that the track has."""
    judged_frames = np.bincount(sequence[judged], minlength=size)
    return np.asarray(judged_frames == int(frame.max()) + 1)
