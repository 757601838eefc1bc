"""Signed ascent of any objective of the adaptive view: what the attacks on features and detectors share."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmark.access import FeatureView, GradientView
from benchmark.access.views import Evaluation
from benchmark.attacks.base import ascent_signs, choose, no_value, none_yet, project_linf
from benchmark.errors import BenchError

Look = Callable[[Tensor], Evaluation]
"""Looks at iterates (n, C, H, W): the value that the attacker ascends, its gradient, and logits."""


def opened(attack: str, view: GradientView) -> FeatureView:
    """The view, which must be one that opens the defense.

    Raises:
        BenchError: it is not.
    """
    if not isinstance(view, FeatureView):
        raise BenchError(f"{attack} looks inside the defense: run it in the adaptive track, which alone opens it.")
    return view


def step_sizes(steps: int, alpha_255: float | None, eps_255: float) -> list[float]:
    """One step size in [0, 1] for each step: ``alpha_255``, a tenth of the radius where it is None."""
    return [(alpha_255 if alpha_255 is not None else eps_255 / 10) / 255] * steps


def follow(
    look: Look,
    lost: Callable[[Tensor], Tensor],
    start: Tensor,
    images: Tensor,
    eps_255: float,
    alphas: Sequence[float],
    *,
    stochastic: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take one signed step per entry of ``alphas`` inside ball and box.

    Kept is, per image, the iterate of the highest value among those that fool the view, else among all; of a stochastic
    view, whose values are single looks, the latest that fools it. Costs one look more than there are steps.

    Args:
        look: at the view.
        lost: maps logits (n, K) to (n,) bool, whether they fool the view: that of a goal.
        start: (n, C, H, W) the first iterate.
        images: (n, C, H, W) the centres of the balls.
        eps_255: radius in 1/255.
        alphas: step sizes in [0, 1].
        stochastic: whether two looks may differ.

    Returns:
        The kept iterates (n, C, H, W), their values (n,) and whether they fool the view (n,).
    """
    iterate = kept = start
    value, fooled = no_value(images), none_yet(images)
    for alpha in [*alphas, 0.0]:
        seen = look(iterate)
        now = lost(seen.logits)
        higher = (now == fooled) & (seen.loss > value)
        take = (now & ~fooled) | higher | (now & stochastic)
        kept, value, fooled = choose(take, iterate, kept), torch.where(take, seen.loss, value), fooled | now
        iterate = project_linf(iterate + alpha * ascent_signs(seen.gradient), images, eps_255 / 255)
    return kept, value, fooled
