"""What a vote over random copies took and how sure it was, per track (MedRDF: copies and Robust Metric)."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from leaderboard.bootstrap import bootstrap, interval
from leaderboard.entries import EntryRows, once_per_entry
from leaderboard.record import MEAN

COPIES, LARGEST, METRIC = "copies_mean", "copies_largest_share", "robust_metric_mean"
"""Mean copies per answer, share of answers that took as many as any answer of the entry, mean Robust Metric."""

Add = Callable[[str, str, float, float, float, int], None]
"""Takes track, metric, value, low, high and the number of images."""


def over(track: str) -> str:
    """``attack`` of a track's records here: the clean track has but one answer to an image."""
    return "none" if track == "clean" else MEAN


def vote_metrics(entry: EntryRows, add: Add) -> None:
    """Add the figures of each track's answers, the first draw's; nothing of a defense without a vote.

    An image counts once for every attack, budget or frame that was judged; images are resampled by patient. Answers
    that were skipped are not there. The Robust Metric is that of the vote as it ended, so one that ended early and
    unanimous has the largest.
    """
    answers = {track: _answers(rows) for track, rows in entry.everything()}
    answers = {track: told for track, told in answers.items() if len(told)}
    most = most_copies(entry)
    for track, told in answers.items():
        values = told.assign(largest=told["copies"] == most, answers=1.0)[["copies", "largest", "score", "answers"]]
        sums = values.astype(np.float64).groupby(told["patient"].to_numpy()).sum()
        above = sums[["copies", "largest", "score"]].to_numpy()
        below = np.repeat(sums[["answers"]].to_numpy(), 3, axis=1)
        low, high = interval(bootstrap(sums.index.tolist()).ratios(above, below))
        means = above.sum(axis=0) / below.sum(axis=0)
        images = told["image"].nunique()
        for place, metric in enumerate((COPIES, LARGEST, METRIC)):
            add(track, metric, float(means[place]), float(low[place]), float(high[place]), images)


@once_per_entry
def most_copies(entry: EntryRows) -> int:
    """Return the most copies that an answer took; 0 without a vote."""
    return max((int(told["copies"].max()) for _, rows in entry.everything() if len(told := _answers(rows))), default=0)


def _answers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return copies, score, patient and image of each answer of a vote: of attacked images, of frames of sequences."""
    rows = rows[~rows["skipped"]]
    rows = rows[rows["copies"].notna() | rows["copies_taken"].notna()]
    told = pd.DataFrame(
        {
            "patient": rows["group_id"].astype(object).fillna(rows["sample_id"]).astype(str),
            "image": rows["sample_id"].astype(str),
            "copies": _listed(rows, "copies", "copies_taken"),
            "score": _listed(rows, "score", "scores"),
        }
    )
    return told.explode(["copies", "score"], ignore_index=True).astype({"copies": np.float64, "score": np.float64})


def _listed(rows: pd.DataFrame, single: str, several: str) -> list[object]:
    """Each row's values: those of a sequence's frames where it has some, else its own."""
    return [one if one is not None else [own] for own, one in zip(rows[single], rows[several], strict=True)]
