"""Checks that attacks can do their work: one look at gradients and features, through the views that attacks hold.

What fails here would leave a gap in an official run, and a gap is never a success of the defense.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmark.access import Evaluation, FeatureView, References, adaptive, white_box
from benchmark.access.features import Features
from benchmark.defense import Backward, Defense
from benchmark.submission.checks.finding import Finding, failed, ok, warning
from benchmark.submission.checks.probe import Probe

COPIES = 2
"""Random copies of an image that one look at a randomised defense averages here."""


def gradient(probe: Probe) -> Finding:
    """Both gradient views have a finite gradient; the adaptive one is not zero if and only if one is declared."""
    wrong = _broken_look(
        "the classifier", lambda: white_box(probe.defense, probe.draw()).evaluate(*_question(probe)), "forward"
    )
    if wrong:
        return failed(wrong)
    sizes = []
    for backward in _backward_passes(probe.defense):

        def look(backward: Backward = backward) -> Evaluation:
            return adaptive(probe.defense, probe.draw(), COPIES, backward).evaluate(*_question(probe))

        wrong = _broken_look("adaptive_logits", look, "a stage's apply_true and stand_in")
        if wrong:
            return failed(wrong)
        sizes.append(look().gradient.flatten(1).abs().amax(dim=1))
    flat, count = int((sizes[0] == 0).sum()), len(sizes[0])
    if not probe.declared.gradient:
        if flat < count:
            return warning("the manifest says gradient = false, but there is one; set gradient = true.")
        return ok("zero, as declared; the entry is marked so, and attacks without gradients decide")
    if flat == count:
        return failed(
            "the manifest says gradient = true, but adaptive_logits has none on any image; give the stage a stand_in "
            "and set differentiable = False, or declare gradient = false."
        )
    if flat:
        return warning(f"the gradient is zero on {flat} of {count} images; is a step saturated or rounding?")
    return ok()


def features(probe: Probe) -> Finding:
    """Attacks on features find some, of the deployed pipeline and of the bare classifier, and can follow them."""
    defense = probe.defense
    bare = Defense(defense.classifier, defense.num_classes)
    targets = [("the defense", defense), *([] if defense.plain else [("the classifier", bare)])]
    for what, target in targets:

        def look(target: Defense = target) -> Evaluation:
            return _feature_look(adaptive(target, probe.draw(), COPIES, references=_references(probe)), probe)

        wrong = _broken_look(f"features of {what}", look, f"layer {', '.join(defense.feature_layers)}")
        if wrong:
            return failed(wrong)
    if defense.detects:

        def score() -> Evaluation:
            images, _, rows = _question(probe)
            view = adaptive(defense, probe.draw(), COPIES)
            return view.evaluate_score(images, lambda score, logits: score + 0 * logits.sum(dim=1), rows)

        wrong = _broken_look("adaptive_score", score, "the detector")
        if wrong:
            return failed(wrong)
    return ok(f"followed at {', '.join(defense.feature_layers)}")


def _backward_passes(defense: Defense) -> list[Backward]:
    return ["declared", "identity"] if defense.alternative_backward else ["declared"]


def _question(probe: Probe) -> tuple[Tensor, Callable[[Tensor], Tensor], Tensor]:
    """Images, an objective whose weights sum to zero as those of an attacker's losses do, and the images' places."""
    weights = torch.linspace(-1, 1, probe.classes)
    images = probe.sample.images.clone()
    return images, lambda logits: (logits * weights).sum(dim=1), torch.arange(len(images))


def _references(probe: Probe) -> References:
    """Validation images, or the sample under made-up labels: here it matters only that features can be compared."""
    if probe.sample.labelled is not None:
        images, labels = probe.sample.labelled
        return References(images, labels)
    images = probe.sample.images
    return References(images, torch.arange(len(images)) % probe.classes)


def _feature_look(view: FeatureView, probe: Probe) -> Evaluation:
    """What Fea and HFC do in one step: fit the references' features, then move an image's towards another's."""
    images, _, rows = _question(probe)
    usual = view.gaussians()
    wanted, _ = view.features(images.flip(0), rows)

    def closeness(found: Features, _: Tensor) -> Tensor:
        near = [-(found[layer] - wanted[layer]).flatten(1).square().mean(dim=1) for layer in usual]
        return torch.stack(near).mean(dim=0)

    return view.evaluate_features(images, closeness, rows)


def _broken_look(what: str, look: Callable[[], Evaluation], where: str) -> str:
    """One sentence on why attacks cannot use a look, or nothing."""
    try:
        seen = look()
    except RuntimeError as error:
        told = " ".join(str(error).split())
        if "does not require grad" in told or "does not have a grad_fn" in told or "not have been used" in told:
            return (
                f"{what}: autograd finds no way from the answer back to the image, so attacks with gradients "
                f"cannot run; compute {where} in torch without no_grad, detach or numpy, or give a stand-in "
                "(if it has no useful gradient, keep the answer connected, as in 'answer + 0 * logits', and declare "
                "gradient = false)."
            )
        raise
    if not bool(torch.isfinite(seen.gradient).all()):
        return f"{what}: the gradient is not finite; look for a division by zero or a root at 0 in {where}."
    return ""
