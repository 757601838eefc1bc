"""The smallest step onto a hyperplane that the box [0, 1] allows, in L-inf and in L2."""

import torch
from torch import Tensor

from benchmark.attacks.norms import box_room, fill


def step_onto(points: Tensor, normal: Tensor, rise: Tensor, norm: str) -> Tensor:
    """Smallest step d with <normal, d> = ``rise`` and ``points`` + d in [0, 1].

    In L-inf every component moves by the same amount, in L2 in proportion to the normal, or less where the box stops
    it. Where the box allows no such step, each goes as far as the box lets it.

    Args:
        points: (n, C, H, W) in [0, 1].
        normal: (n, C, H, W).
        rise: (n,), of either sign.
        norm: "linf" or "l2": what smallest means.

    Returns:
        (n, C, H, W) steps.
    """
    flat, weights = points.flatten(1), normal.flatten(1).abs()
    signs = normal.flatten(1).sign() * rise.sign()[:, None]
    room = box_room(flat, signs)
    if norm == "l2":
        scale = fill(weights.square(), weights, room, rise.abs(), power=1).clamp(max=1e30)
        return (signs * torch.minimum(scale[:, None] * weights, room)).reshape(points.shape)
    ordered, order = room.sort(dim=1)
    ordered_weights = weights.gather(1, order)
    products = ordered_weights * ordered
    stopped = products.cumsum(dim=1) - products
    moving = ordered_weights.flip(1).cumsum(dim=1).flip(1)
    reachable = stopped + moving * ordered
    index = torch.searchsorted(reachable, rise.abs()[:, None]).clamp(max=flat.shape[1] - 1)
    before, slope = stopped.gather(1, index), moving.gather(1, index)
    length = (rise.abs()[:, None] - before) / slope.clamp_min(1e-30)
    return (signs * torch.minimum(length.clamp_min(0), room)).reshape(points.shape)
