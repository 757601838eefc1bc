"""Metrics of the clean track: what the deployed defense does to honest images of the whole test split."""

import numpy as np

from leaderboard.bootstrap import Floats, bootstrap, interval
from leaderboard.clinical import Add, Answers, calibration_error, class_metrics
from leaderboard.entries import EntryRows, is_named
from leaderboard.rows import probabilities
from leaderboard.verdicts import draw_share


def weighted_auc(scores: Floats, positive: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve of ``scores`` (n) for 0/1 ``positive`` (n) under each row of ``weights`` (r, n).

    The share of (positive, negative) pairs that the score orders rightly, ties counted half; NaN without both kinds.
    """
    order = np.argsort(scores, kind="stable")
    level_starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    above = np.add.reduceat(weights[:, order] * positive[order], level_starts, axis=1)
    below = np.add.reduceat(weights[:, order] * (1 - positive[order]), level_starts, axis=1)
    beaten = np.cumsum(below, axis=1) - below / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((above * beaten).sum(axis=1) / (above.sum(axis=1) * below.sum(axis=1)), dtype=np.float64)


def _macro_auc(scores: Floats, labels: Floats, weights: Floats) -> Floats:
    """AUC of class 1 for two classes, else the mean over classes of one-against-rest."""
    classes = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    each = [weighted_auc(scores[:, c], (labels == c).astype(np.float64), weights) for c in classes]
    return np.asarray(np.mean(each, axis=0), dtype=np.float64)


def clean_metrics(entry: EntryRows, add: Add) -> None:
    """Add accuracy, abstention, the figures per class, AUC and calibration error; see :mod:`leaderboard.clinical`.

    Accuracy is the mean share of right draws; an abstention is not a right answer, nor is an image without a verdict.
    """
    rows = entry.track("clean")
    rows = rows[is_named(rows) & rows["label"].notna()]
    if rows.empty:
        return
    labels = rows["label"].to_numpy(dtype=np.float64)
    judged = (rows["status"] == "ok").to_numpy()
    answers = Answers(
        labels,
        np.where(judged, draw_share(rows), 0.0),
        np.where(judged, rows["pred"].to_numpy(dtype=np.float64), np.nan),
    )
    resamples = bootstrap(rows["group_id"].astype(object).fillna(rows["sample_id"]).astype(str).tolist())
    plain = np.stack([answers.share, rows["abstained"].to_numpy(dtype=np.float64)], axis=1)
    low, high = interval(resamples.means(plain))
    for index, metric in enumerate(("accuracy", "abstention_rate")):
        add(metric, float(plain[:, index].mean()), float(low[index]), float(high[index]), len(labels))
    class_metrics(answers, resamples, add)
    told = probabilities(rows)
    if told is not None and told.shape[1] > 1 and np.isfinite(told).all():
        value = _macro_auc(told, labels, np.ones((1, len(labels))))[0]
        if np.isfinite(value):  # A class without an image has no curve.
            drawn = np.concatenate([_macro_auc(told, labels, block) for block in resamples.weights()])
            low, high = interval(drawn[:, None])
            add("auc", float(value), float(low[0]), float(high[0]), len(labels))
        calibration_error(told, answers, resamples, add)
