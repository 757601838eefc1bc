"""Checks on adversarial images before they count (DESIGN: attack, then verify, then judge)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.attacks.norms import distance, project

TOLERANCE = 1e-6
"""Slack, in [0, 1], for the rounding of float32 sums at the edge of the ball."""


@dataclass(frozen=True)
class Verified:
    """Images that may be judged.

    Attributes:
        images: (N, C, H, W) inside the ball and [0, 1], finite.
        notes: N sentences, empty where nothing had to be mended.
        rejected: (N,) bool, images that were no images; the clean image stands in their place.
        linf, l2: (N,) distances to the clean images.
        pixels: (N,) int64, pixels that differ from the clean image.
    """

    images: Tensor
    notes: tuple[str, ...]
    rejected: Tensor
    linf: Tensor
    l2: Tensor
    pixels: Tensor


def verify(candidates: Tensor, images: Tensor, norm: str, eps_255: float) -> Verified:
    """Reject what is not finite, project what lies outside the ball or [0, 1], and say so.

    Args:
        candidates: (N, C, H, W) an attack's answer.
        images: (N, C, H, W) the clean images.
        norm: one of :data:`benchmark.results.schema.NORMS`.
        eps_255: budget in the units of that norm.

    Raises:
        ValueError: the answer has another shape or type.
        BenchError: the norm is unknown.
    """
    if candidates.shape != images.shape or candidates.dtype != images.dtype:
        raise ValueError(
            f"the attack returned {tuple(candidates.shape)} {candidates.dtype} for {tuple(images.shape)} {images.dtype}"
        )
    finite = candidates.flatten(1).isfinite().all(dim=1)
    usable = torch.where(finite[:, None, None, None], candidates, images)
    box = torch.maximum(-usable, usable - 1).flatten(1).amax(dim=1).clamp(min=0)
    over = (distance(usable, images, norm) - eps_255).clamp(min=0)
    slack = 0.0 if norm == "l0" else TOLERANCE * 255
    boxed = usable.clamp(0, 1)
    # Only what is outside moves: an L2 projection of an image on the sphere would shift it by a rounding error.
    mend = (over > slack) if norm != "linf" else torch.ones_like(finite)
    inside = torch.where(mend[:, None, None, None], project(boxed, images, norm, eps_255), boxed)
    difference = (inside - images).flatten(1)
    notes = tuple(
        _note(bool(ok), float(beyond), float(outside), norm, slack)
        for ok, beyond, outside in zip(finite, over, box, strict=True)
    )
    pixels = (inside != images).any(dim=1).flatten(1).sum(dim=1)
    return Verified(inside, notes, ~finite, difference.abs().amax(dim=1), difference.norm(dim=1), pixels)


def _note(finite: bool, beyond_ball: float, beyond_box: float, norm: str, slack: float) -> str:
    if not finite:
        return "rejected: not finite"
    if beyond_ball > slack:
        return f"projected: {beyond_ball:.3g}{' pixels' if norm == 'l0' else '/255'} beyond the ball"
    if beyond_box > TOLERANCE:
        return f"projected: {beyond_box * 255:.3g}/255 beyond [0, 1]"
    return ""
