"""Words for tracks, norms and metrics, used by every page."""

from benchmark.matrix.budgets import in_words
from benchmark.matrix.rules import rules
from leaderboard.record import ALL_TRACKS


class _TrackText(dict[str, tuple[str, str]]):
    """Words for tracks; one of another matrix is called by its name."""

    def __missing__(self, name: str) -> tuple[str, str]:
        return (name.capitalize(), "")


TRACK_TEXT = _TrackText(
    {track.name: (track.title, track.about) for track in rules().track}
    | {ALL_TRACKS: ("All tracks", "Per image, the strongest counted attack of any track.")}
)
"""Track -> (title, one sentence)."""

METRIC_TEXT = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
    "calibration_error": "calibration error",
    "abstention_rate": "abstention rate",
    "majority_class_rate": "a constant prediction",
    "accuracy_on_attacked_subset": "accuracy on the attacked images",
    "robust_accuracy": "robust accuracy",
    "mean_flip_probability": "mean flip probability",
    "relative_flip_probability": "relative flip probability",
    "copies_mean": "random copies per prediction, mean",
    "copies_largest_share": "predictions that took the most copies",
    "robust_metric_mean": "Robust Metric, mean",
}
"""Metric -> words."""

NORM_TEXT = {"linf": "L∞", "l2": "L2", "l0": "L0"}
"""Norm -> how people write it."""


def budget(eps: float, norm: str) -> str:
    """Return a budget in the unit of its norm: ``8/255``, ``2/255 RMS``, ``4 pixels``."""
    return in_words(norm, eps)
