"""The checks of a built defense, in order."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmark.submission.checks import attackable, behaviour, outputs
from benchmark.submission.checks.finding import Finding
from benchmark.submission.checks.probe import Probe


@dataclass(frozen=True)
class Step:
    """A check of a built defense and the checks without whose success it would say nothing new."""

    name: str
    check: Callable[[Probe], Finding]
    needs: tuple[str, ...]


STEPS = (
    Step("runs", outputs.runs, ("build",)),
    Step("shapes", outputs.shapes, ("runs",)),
    Step("finite", outputs.finite, ("shapes",)),
    Step("probabilities", outputs.probabilities, ("finite",)),
    Step("labels", outputs.labels, ("shapes",)),
    Step("logits", outputs.logits, ("finite",)),
    Step("eval mode", behaviour.eval_mode, ("runs",)),
    Step("unchanged state", behaviour.untouched_state, ("eval mode",)),
    Step("determinism", behaviour.determinism, ("finite", "eval mode", "unchanged state")),
    Step("global randomness", behaviour.global_randomness, ("determinism",)),
    Step("same build", behaviour.same_build, ("global randomness",)),
    Step("unchanged input", behaviour.untouched_input, ("shapes",)),
    Step("batch independence", behaviour.batch_independence, ("global randomness",)),
    Step("differentiable twin", outputs.twin, ("probabilities", "labels", "global randomness")),
    Step("gradient", attackable.gradient, ("finite", "unchanged input")),
    Step("features", attackable.features, ("gradient", "batch independence")),
    Step("normalisation", outputs.normalisation, ("finite", "logits", "eval mode")),
)
"""Checks of a built defense, in order."""
