"""What a vote over random copies took and how sure it was, per track (MedRDF: copies and Robust Metric)."""

from collections.abc import Callable

import numpy as np

from benchmark.results.schema import ATTACK_TRACKS
from leaderboard.bootstrap import bootstrap, interval
from leaderboard.entries import Entry
from leaderboard.record import MEAN

COPIES, LARGEST, METRIC = "copies_mean", "copies_largest_share", "robust_metric_mean"
"""Mean copies per answer, share of answers that took as many as any answer of the entry, mean Robust Metric."""

Add = Callable[[str, str, float, float, float, int], None]
"""Takes track, metric, value, low, high and the number of images."""


def over(track: str) -> str:
    """``attack`` of a track's records here: the clean track has but one answer to an image."""
    return "none" if track == "clean" else MEAN


def vote_metrics(entry: Entry, add: Add) -> None:
    """Add the figures of each track's answers, the first draw's; nothing of a defense without a vote.

    An image counts once for every attack, budget or frame that was judged; images are resampled by patient. Answers
    that were spared are not there. The Robust Metric is that of the vote as it ended, so one that ended early and
    unanimous has the largest.
    """
    if entry.rows["copies"].isna().all():
        return
    most = entry.rows["copies"].max()
    for track in ("clean", "corruption", *ATTACK_TRACKS):
        rows = entry.track(track)
        rows = rows[rows["copies"].notna() & ~rows["spared"]]
        if rows.empty:
            continue
        told = rows[["copies", "score"]].astype(np.float64)
        values = told.assign(largest=told["copies"] == most, answers=1.0)[["copies", "largest", "score", "answers"]]
        patients = rows["group_id"].astype(object).fillna(rows["sample_id"]).astype(str).to_numpy()
        sums = values.astype(np.float64).groupby(patients).sum()
        above = sums[["copies", "largest", "score"]].to_numpy()
        below = np.repeat(sums[["answers"]].to_numpy(), 3, axis=1)
        low, high = interval(bootstrap(sums.index.tolist()).ratios(above, below))
        means = above.sum(axis=0) / below.sum(axis=0)
        images = rows["sample_id"].nunique()
        for place, metric in enumerate((COPIES, LARGEST, METRIC)):
            add(track, metric, float(means[place]), float(low[place]), float(high[place]), images)
