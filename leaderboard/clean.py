"""Metrics of the clean track: what the deployed defense does to honest images of the whole test split."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from leaderboard.bootstrap import Bootstrap, Floats, bootstrap, interval
from leaderboard.entries import Entry, is_named
from leaderboard.verdicts import draw_share

Add = Callable[[str, float, float, float, int], None]
"""Takes metric, value, low, high and n."""


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


def _macro_auc(probabilities: Floats, labels: Floats, weights: Floats) -> Floats:
    """AUC of class 1 for two classes, else the mean over classes of one-against-rest."""
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    each = [weighted_auc(probabilities[:, c], (labels == c).astype(np.float64), weights) for c in classes]
    return np.asarray(np.mean(each, axis=0), dtype=np.float64)


def clean_metrics(entry: Entry, add: Add) -> None:
    """Add accuracy, balanced accuracy, sensitivity per class, AUC, abstention and majority-class rate.

    Accuracy is the mean share of right draws; an abstention is not a right answer, nor is an image without a verdict.
    ``majority_class_rate`` is what a constant answer would reach, to be read beside accuracy.
    """
    rows = entry.track("clean")
    rows = rows[is_named(rows) & rows["label"].notna()]
    if rows.empty:
        return
    labels = rows["label"].to_numpy(dtype=np.float64)
    share = np.where(rows["status"] == "ok", draw_share(rows), 0.0)
    resamples = bootstrap(rows["group_id"].astype(object).fillna(rows["sample_id"]).astype(str).tolist())
    _shares(share, labels, rows["abstained"].to_numpy(dtype=np.float64), resamples, add)
    probabilities = _probabilities(rows["probs"])
    if probabilities is not None:
        value = _macro_auc(probabilities, labels, np.ones((1, len(labels))))[0]
        drawn = np.concatenate([_macro_auc(probabilities, labels, block) for block in resamples.weights()])
        low, high = interval(drawn[:, None])
        add("auc", float(value), float(low[0]), float(high[0]), len(labels))


def _shares(share: Floats, labels: Floats, abstained: Floats, resamples: Bootstrap, add: Add) -> None:
    classes = np.unique(labels)
    member = (labels[:, None] == classes).astype(np.float64)
    recall = (member * share[:, None]).sum(axis=0) / member.sum(axis=0)
    recall_drawn = resamples.ratios(member * share[:, None], member)
    plain = np.stack([share, abstained], axis=1)
    majority = int(member.sum(axis=0).argmax())
    values = {
        "accuracy": (share.mean(), resamples.means(plain)[:, 0], len(labels)),
        "balanced_accuracy": (recall.mean(), np.nanmean(recall_drawn, axis=1), len(labels)),
        "abstention_rate": (abstained.mean(), resamples.means(plain)[:, 1], len(labels)),
        "majority_class_rate": (member[:, majority].mean(), resamples.means(member)[:, majority], len(labels)),
    }
    for index, label in enumerate(classes):
        values[f"sensitivity_class_{int(label)}"] = (recall[index], recall_drawn[:, index], int(member[:, index].sum()))
    for metric, (value, drawn, n) in values.items():
        low, high = interval(drawn[:, None])
        add(metric, float(value), float(low[0]), float(high[0]), n)


def _probabilities(column: pd.Series) -> Floats | None:
    """Stack the rows' probabilities to (n, classes); None where some row has none."""
    if column.isna().any():
        return None
    stacked = [np.asarray(values, dtype=np.float64) for values in column]
    if len({len(values) for values in stacked}) != 1 or len(stacked[0]) < 2:
        return None
    matrix = np.stack(stacked)
    return matrix if np.isfinite(matrix).all() else None
