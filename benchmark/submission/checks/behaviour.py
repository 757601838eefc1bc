"""Checks of how a defense behaves: mode, memory, randomness, neighbours, its input."""

import torch
from torch import Tensor

from benchmark.defense import Decision
from benchmark.submission.checks.finding import Finding, failed, ok, warning
from benchmark.submission.checks.probe import GlobalState, Probe, seed_everything


def eval_mode(probe: Probe) -> Finding:
    """Every module is in eval mode, and stays so after predicting."""
    probe.predict()
    training = [name or "the defense" for name, module in probe.defense.named_modules() if module.training]
    if training:
        return failed(
            f"'{training[0]}' is in training mode ({len(training)} modules in all); call no train() in build or "
            "forward."
        )
    return ok()


def untouched_state(probe: Probe) -> Finding:
    """Predicting changes no parameter and no buffer."""
    now = probe.state()
    changed = [name for name, value in probe.state_before.items() if not torch.equal(value, now[name])]
    if changed:
        return failed(
            f"predicting changed '{changed[0]}' ({len(changed)} tensors in all), so decisions depend on what was seen "
            "before; keep nothing between calls."
        )
    return ok()


def determinism(probe: Probe) -> Finding:
    """One draw gives one decision; other draws may differ only where the manifest declares it."""
    declared, built = probe.declared.stochastic, probe.defense.stochastic
    seed_everything(3)
    first = probe.predict()
    seed_everything(3)
    if not _same(first, probe.predict()):
        return failed(
            "the same draw gave two decisions, so something random or remembered lies outside it; take all randomness "
            "from the draw that a stage is given."
        )
    if declared != built:
        stages = "has a stochastic stage" if built else "has no stage with stochastic = True"
        return failed(
            f"the manifest says stochastic = {str(declared).lower()}, but the defense {stages}; make them agree."
        )
    differs = False
    for number in (1, 2):
        seed_everything(3)
        differs |= not _same(first, probe.predict(number))
    if differs and not declared:
        return failed(
            "other draws gave other decisions, though the defense is declared deterministic; set stochastic = True on "
            "the stage and stochastic = true in the manifest."
        )
    if declared and not differs:
        return warning("the manifest says stochastic = true, but three draws gave the same decisions; is it needed?")
    return ok("randomised, as declared" if declared else "deterministic, as declared")


def global_randomness(probe: Probe) -> Finding:
    """Predicting neither listens to nor disturbs the global generators; what building does to them is undone."""
    seed_everything(4)
    before = GlobalState.now()
    first = probe.predict()
    disturbed = before.differs(GlobalState.now())
    if disturbed:
        return failed(
            f"predicting draws from or seeds {disturbed} global generator; take all randomness from the draw that a "
            "stage is given."
        )
    seed_everything(5)
    if not _same(first, probe.predict()):
        return failed(
            "decisions depend on a global generator; take all randomness from the draw that a stage is given."
        )
    return ok()


def same_build(probe: Probe) -> Finding:
    """A second build is the same defense: the judge gets a copy of its own."""
    other = probe.rebuild()
    mine, theirs = probe.state_before, other.state_dict()
    changed = [name for name in mine if name not in theirs or not torch.equal(mine[name], theirs[name])]
    if changed:
        return failed(
            f"two builds differ in '{changed[0]}' ({len(changed)} tensors in all); load every tensor from the weight "
            "file, so that the judge's copy is the same defense."
        )
    if not _same(probe.decision, other.predict(probe.sample.images.clone(), probe.draw())):
        return failed("two builds with equal tensors decide differently; let build depend on its context alone.")
    return ok()


def untouched_input(probe: Probe) -> Finding:
    """Neither predicting nor the classifier writes into the images."""
    original = probe.sample.images
    for what in ("predict", "the classifier", "adaptive_logits"):
        images = original.clone()
        with torch.no_grad():
            if what == "predict":
                probe.defense.predict(images, probe.draw())
            elif what == "the classifier":
                probe.defense.classifier(images)
            else:
                probe.defense.adaptive_logits(images, probe.draw(), copies=2)
        if not torch.equal(images, original):
            return failed(
                f"{what} writes into its input images; replace in-place steps (x -= m, x.clamp_()) by new tensors."
            )
    return ok()


def batch_independence(probe: Probe) -> Finding:
    """An image's decision depends neither on its neighbours nor on its place."""
    count = len(probe.sample.images)
    whole = probe.decision
    backwards = list(reversed(range(count)))
    orders = {
        "in another order": [backwards],
        "in a smaller batch": [[0, 1, 2]],
        "alone": [[0], [count // 2]],
        f"in a batch of {LARGE}": [_mixed(count)],
    }
    for words, batches in orders.items():
        for order in batches:
            moved = _moved(probe, whole, probe.predict(order=order), torch.tensor(order))
            if moved:
                return failed(
                    f"an image's decision changes when it comes {words} (by {moved:.2g} in probability); {ALONE}"
                )
            shifted = _shifted(probe, torch.tensor(order))
            if shifted:
                return failed(
                    f"an image's logits change when it comes {words} (by {shifted:.2g} of their size); {ALONE}"
                )
    return ok()


LARGE = 64
"""Images of the batch that stands for those of an evaluation, which are larger than the sample."""


def _mixed(count: int) -> list[int]:
    """``LARGE`` places of ``count`` images, in no regular order: a shift by any number of places has to show."""
    generator = torch.Generator().manual_seed(0)
    return torch.cat([torch.randperm(count, generator=generator) for _ in range(LARGE)])[:LARGE].tolist()


ALONE = "compute nothing across the batch: no batch statistics, no mean over images."

ROUNDING = 1e-3
"""Share of the logits' size by which batched arithmetic may move an image's: 1e-5 is usual."""


@torch.no_grad()
def _shifted(probe: Probe, order: Tensor) -> float:
    """How far the classifier's logits move beyond rounding, as a share of their size, or 0.

    Probabilities of a saturated classifier stay at 0 and 1 whatever its logits do. Half of the images have to move: a
    network that rounds inside may take a step on one of them.
    """
    before = probe.logits[order]
    after = probe.defense.classifier(probe.sample.images[order].clone())
    size = (probe.logits - probe.logits.mean(dim=1, keepdim=True)).abs().amax().clamp_min(1e-30)
    moved = (after - before).abs().amax(dim=1) / size
    return float(moved.max()) if float(moved.median()) > ROUNDING else 0.0


def _moved(probe: Probe, whole: Decision, part: Decision, order: Tensor) -> float:
    """The largest change of a probability beyond rounding, or 0; a label may change only in a close call."""
    before, after = whole.probs[order], part.probs
    moved = (before - after).abs().amax(dim=1)
    top = before.topk(2, dim=1).values
    close = (top[:, 0] - top[:, 1] <= 2 * probe.tolerance) | (moved > 0 if probe.defense.vote is not None else False)
    wrong = (moved > probe.tolerance) | ((whole.label[order] != part.label) & ~close)
    return max(float(moved[wrong].max()), 1e-12) if bool(wrong.any()) else 0.0


def _same(first: Decision, second: Decision) -> bool:
    return torch.equal(first.label, second.label) and torch.allclose(first.probs, second.probs, rtol=0, atol=1e-6)
