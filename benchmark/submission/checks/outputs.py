"""Checks of what a defense says: shapes, ranges, logits, gradient, normalisation."""

from collections.abc import Callable, Mapping
from time import perf_counter

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmark.defense import Decision
from benchmark.submission.checks.finding import Finding, failed, ok, skipped, warning
from benchmark.submission.checks.probe import Probe


def runs(probe: Probe) -> Finding:
    """The classifier and ``predict`` answer at all; also tells the time per image."""
    if not isinstance(probe.logits, Tensor):
        return failed(f"the classifier returned {_named(probe.logits)}; return one tensor of logits (N, K).")
    decision = probe.decision
    if not isinstance(decision, Decision):
        return failed(f"predict returned {_named(decision)}; return a benchmark.defense.Decision.")
    for name in ("probs", "label", "score", "copies"):
        value = getattr(decision, name)
        if not (isinstance(value, Tensor) or (value is None and name in ("score", "copies"))):
            return failed(f"Decision.{name} is {_named(value)}; make it a tensor.")
    start = perf_counter()
    probe.predict()
    return ok(f"{(perf_counter() - start) / len(probe.sample.images) * 1000:.1f} ms per image")


def _named(value: object) -> str:
    """The value's type, and where it seems to hold the logits."""
    kind = type(value).__name__
    if isinstance(value, Mapping):
        keys = [str(key) for key in value]
        return f"a {kind} with the keys {', '.join(keys[:5])}"
    if isinstance(value, tuple | list):
        return f"a {kind} of {len(value)}"
    return f"an object of type {kind}" + (", which has .logits" if hasattr(value, "logits") else "")


def shapes(probe: Probe) -> Finding:
    """Shapes and types of the decision, the logits and the twin's logits."""
    count, classes = len(probe.sample.images), probe.classes
    decision = probe.decision
    wanted: list[tuple[str, Tensor, tuple[int, ...], torch.dtype]] = [
        ("the classifier's logits", probe.logits, (count, classes), torch.float32),
        ("Decision.probs", decision.probs, (count, classes), torch.float32),
        ("Decision.label", decision.label, (count,), torch.int64),
    ]
    if decision.score is not None:
        wanted.append(("Decision.score", decision.score, (count,), torch.float32))
    if decision.copies is not None:
        wanted.append(("Decision.copies", decision.copies, (count,), torch.int64))
    for what, found, shape, dtype in wanted:
        if tuple(found.shape) != shape or found.dtype != dtype:
            return failed(
                f"{what} is {found.dtype} {tuple(found.shape)} for {count} images of {classes} classes; "
                f"make it {dtype} {shape}."
            )
    if not isinstance(probe.twin_logits, Tensor):
        return failed(f"adaptive_logits returned {_named(probe.twin_logits)}; return one tensor (samples, N, K).")
    twin = tuple(probe.twin_logits.shape)
    if len(twin) != 3 or twin[1:] != (count, classes):
        return failed(f"adaptive_logits returned {twin}; make it (samples, {count}, {classes}).")
    return ok(f"{count} images, {classes} classes")


def finite(probe: Probe) -> Finding:
    """No NaN and no infinity anywhere, on a black and a white image either."""
    said = {
        "the classifier's logits": probe.logits,
        "Decision.probs": probe.decision.probs,
        "adaptive_logits": probe.twin_logits,
    }
    if probe.decision.score is not None:
        said["Decision.score"] = probe.decision.score
    for what, values in said.items():
        bad = (~torch.isfinite(values)).sum().item()
        if bad:
            return failed(
                f"{what} holds {bad} of {values.numel()} values that are not finite; look for a division by zero, "
                "a logarithm of zero or an overflow."
            )
    return ok()


def probabilities(probe: Probe) -> Finding:
    """Probabilities lie in [0, 1] and sum to 1."""
    probs = probe.decision.probs
    low, high = float(probs.min()), float(probs.max())
    if low < 0 or high > 1 + 1e-5:
        return failed(f"Decision.probs range from {low:.4g} to {high:.4g}, not within [0, 1]; apply a softmax.")
    sums = probs.sum(dim=1)
    worst = float(sums[(sums - 1).abs().argmax()])
    if abs(worst - 1) > 1e-3:
        return failed(f"a row of Decision.probs sums to {worst:.4g} instead of 1; divide each row by its sum.")
    return ok()


def labels(probe: Probe) -> Finding:
    """Labels are classes or -1."""
    label = probe.decision.label
    low, high = int(label.min()), int(label.max())
    if low < -1 or high >= probe.classes:
        return failed(
            f"Decision.label ranges from {low} to {high}; use 0 to {probe.classes - 1}, or -1 for an abstention."
        )
    return ok(f"{int((label == -1).sum())} abstentions")


def logits(probe: Probe) -> Finding:
    """The classifier gives logits, not probabilities."""
    values = probe.logits
    if not bool(((values >= 0) & (values <= 1)).all()):
        return ok()
    if bool(((values.sum(dim=1) - 1).abs() < 1e-3).all()):
        return failed(
            "the classifier returns probabilities where logits are promised (every row lies in [0, 1] and sums to 1); "
            "remove its softmax, the defense applies it."
        )
    return warning("every logit lies in [0, 1]; if the classifier ends in a sigmoid, remove it.")


def twin(probe: Probe) -> Finding:
    """The differentiable twin that an adaptive attacker builds decides as the deployed defense does.

    Also on images made to fool the twin: there a step that only ``predict`` takes shows, which honest images may hide.
    """
    vote = probe.defense.vote
    honest = probe.sample.images if probe.sample.labelled is None else probe.sample.labelled[0][:FOOLING]
    images = torch.cat([probe.sample.images, _fooling(probe, honest)])
    # One copy of the same draw is the deployed pass itself; a vote is compared with its expectation.
    said = _twin_of(probe, images, 1 if vote is None else vote.looks[0])
    deployed = probe.defense.predict(images.clone(), probe.draw_for(len(images)))
    close = _close_call(said, probe.tolerance) | _close_call(deployed.probs, probe.tolerance)
    if vote is not None:
        close |= said.amax(dim=1) < SURE
    differs = (said.argmax(dim=1) != deployed.label) & (deployed.label != -1) & ~close
    if int(differs.sum()) > (0 if vote is None else len(images) // 10):
        fooling = int(differs[len(probe.sample.images) :].sum())
        return failed(
            f"adaptive_logits decides differently from predict on {int(differs.sum())} of {len(differs)} images, "
            f"{fooling} of them made to fool it; let a stage's bpda return the deployed value, and put every step of "
            "predict into stages."
        )
    return ok(f"the same on {len(images)} images, {len(honest)} of them made to fool it")


FOOLING = 32
"""Validation images that are attacked through the twin, where there are any."""

SURE = 0.8
"""Mean probability from which on a vote has to agree with the twin, but for one image in ten."""


def _twin_of(probe: Probe, images: Tensor, copies: int) -> Tensor:
    """Probabilities (N, K) that the twin gives, without a gradient."""
    with torch.no_grad():
        logits = probe.defense.adaptive_logits(images.clone(), probe.draw_for(len(images)), copies)
    return logits.softmax(dim=2).mean(dim=0)


def _fooling(probe: Probe, images: Tensor, eps: float = 8 / 255, steps: int = 10) -> Tensor:
    """Move images up the twin's own gradient, away from what it says of them, at the budget that ranks."""
    draw = probe.draw_for(len(images))
    copies = 1 if probe.defense.vote is None else probe.defense.vote.looks[0]
    said = _twin_of(probe, images, copies).argmax(dim=1)
    # Somewhere in the ball, so that a twin without a gradient is compared on other images too.
    moved = (images + eps * draw.fork("start").uniform(images.shape[1:], -1.0, 1.0)).clamp(0, 1)
    for _ in range(steps):
        leaf = moved.detach().clone().requires_grad_()
        answer = probe.defense.adaptive_logits(leaf, draw, copies)
        loss = torch.stack([cross_entropy(each, said, reduction="sum") for each in answer]).mean()
        slope = torch.autograd.grad(loss, leaf, allow_unused=True)[0] if loss.requires_grad else None
        if slope is None:
            break
        step = (eps / 4 * slope.nan_to_num().sign() + moved - images).clamp(-eps, eps)
        moved = (images + step).clamp(0, 1)
    return moved


def _close_call(probs: Tensor, tolerance: float) -> Tensor:
    top = probs.topk(2, dim=1).values
    return top[:, 0] - top[:, 1] <= 2 * tolerance


def normalisation(probe: Probe) -> Finding:
    """The classifier takes images in [0, 1] as they are and beats a guess on them."""
    if probe.sample.labelled is None:
        return skipped(probe.sample.why_unlabelled)
    images, truth = probe.sample.labelled
    guess = 1 / probe.classes
    plain = _balanced_accuracy(probe, images, truth)
    scores = {words: _balanced_accuracy(probe, change(images), truth) for words, change in _outside(images).items()}
    words = max(scores, key=lambda name: scores[name])
    if scores[words] >= max(plain + 0.15, guess + 0.2):
        return failed(
            f"the classifier's balanced accuracy is {plain:.2f} on images in [0, 1] but {scores[words]:.2f} on {words}"
            "; put this normalisation inside the classifier."
        )
    if plain < guess + 0.05:
        return warning(
            f"balanced accuracy is {plain:.2f} on {len(truth)} validation images, no better than a guess ({guess:.2f})"
            "; is the network trained, and is its normalisation inside the classifier?"
        )
    return ok(f"the classifier alone has balanced accuracy {plain:.2f} on {len(truth)} validation images")


def _outside(images: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """Normalisations that people apply outside their network."""
    mean, std = images.mean(dim=(0, 2, 3), keepdim=True), images.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "(x - 0.5) / 0.5": lambda x: (x - 0.5) / 0.5,
        "(x - mean) / std of the data set": lambda x: (x - mean) / std,
        "255 x": lambda x: x * 255,
    }
    if images.shape[1] == 3:
        centre = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
        scale = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
        changes["ImageNet's (x - mean) / std"] = lambda x: (x - centre) / scale
    return changes


@torch.no_grad()
def _balanced_accuracy(probe: Probe, images: Tensor, truth: Tensor) -> float:
    right = probe.defense.classifier(images.clone()).argmax(dim=1) == truth
    present = sorted(set(truth.tolist()))
    return sum(float(right[truth == label].float().mean()) for label in present) / len(present)
