"""Checks on adversarial images before they count (DESIGN: attack, then verify, then judge)."""

from dataclasses import dataclass

import torch
from torch import Tensor

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
    """

    images: Tensor
    notes: tuple[str, ...]
    rejected: Tensor
    linf: Tensor
    l2: Tensor


def verify(candidates: Tensor, images: Tensor, norm: str, eps_255: float) -> Verified:
    """Reject what is not finite, project what lies outside the ball or [0, 1], and say so.

    Args:
        candidates: (N, C, H, W) an attack's answer.
        images: (N, C, H, W) the clean images.
        norm: ``linf``.
        eps_255: radius in units of 1/255.

    Raises:
        ValueError: the answer has another shape or type, or the norm is unknown.
    """
    if candidates.shape != images.shape or candidates.dtype != images.dtype:
        raise ValueError(
            f"the attack returned {tuple(candidates.shape)} {candidates.dtype} for {tuple(images.shape)} {images.dtype}"
        )
    if norm != "linf":
        raise ValueError(f"norm '{norm}' is unknown")
    eps = eps_255 / 255
    finite = candidates.flatten(1).isfinite().all(dim=1)
    usable = torch.where(finite[:, None, None, None], candidates, images)
    box = torch.maximum(-usable, usable - 1).flatten(1).amax(dim=1).clamp(min=0)
    over = ((usable - images).flatten(1).abs().amax(dim=1) - eps).clamp(min=0)
    inside = torch.minimum(torch.maximum(usable, images - eps), images + eps).clamp(0, 1)
    difference = (inside - images).flatten(1)
    notes = tuple(
        _note(bool(ok), float(beyond), float(outside)) for ok, beyond, outside in zip(finite, over, box, strict=True)
    )
    return Verified(inside, notes, ~finite, difference.abs().amax(dim=1), difference.norm(dim=1))


def _note(finite: bool, beyond_ball: float, beyond_box: float) -> str:
    if not finite:
        return "rejected: not finite"
    if beyond_ball > TOLERANCE:
        return f"projected: {beyond_ball * 255:.3g}/255 beyond the ball"
    if beyond_box > TOLERANCE:
        return f"projected: {beyond_box * 255:.3g}/255 beyond [0, 1]"
    return ""
