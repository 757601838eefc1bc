"""Words for tracks, norms and metrics, used by every page."""

TRACK_TEXT = {
    "clean": ("Clean", "Unmodified images of the whole test split."),
    "corruption": ("Corruption", "Fourteen natural perturbations at five severities, without an attacker."),
    "no-box": ("No-box", "The attacker has no access to the target: images are crafted on a surrogate."),
    "black-box": (
        "Black-box",
        "The attacker queries the deployed system for scores or labels, up to a query budget.",
    ),
    "gray-box": (
        "Gray-box",
        "The attacker had gradients on training images, and has no access at attack time.",
    ),
    "white-box": ("White-box", "The attacker has the gradients of the classifier, but ignores the defense around it."),
    "adaptive": ("Adaptive", "The attacker knows everything and attacks through the whole defense (BPDA and EOT)."),
    "all": ("All tracks", "Per image, the strongest counted attack of any track."),
}
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
    if norm == "l0":
        return f"{eps:g} pixel{'' if eps == 1 else 's'}"
    return f"{eps:g}/255" + (" RMS" if norm == "l2" else "")
