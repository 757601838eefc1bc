"""Three geometries with one unit: what ``eps_255`` means in L-inf, L2 and L0.

- ``linf``: the largest change of a component, in 1/255.
- ``l2``: the root-mean-square change over the C * H * W components, in 1/255, so that one number fits every image
  size; the L2 radius is ``eps_255 / 255 * sqrt(C * H * W)``.
- ``l0``: the number of pixels that may change, each in all its channels and to any value in [0, 1].
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.attacks.base import ascent_signs, project_linf
from benchmark.errors import BenchError, did_you_mean
from benchmark.randomness import Randomness

NORMS = ("linf", "l2", "l0")

MAX_ROUNDS = 60
"""Bound on the rounds of :func:`fill`, which needs two or three; each round stops at least one more component."""


def check_norm(norm: str) -> None:
    """Raise BenchError unless ``norm`` is one of :data:`NORMS`."""
    if norm not in NORMS:
        raise BenchError(f"Unknown norm '{norm}'.{did_you_mean(norm, NORMS)}")


def radius(norm: str, eps_255: float, shape: Sequence[int]) -> float:
    """Radius of the ball around an image of ``shape`` (C, H, W): in [0, 1] for linf and l2, in pixels for l0.

    Raises:
        BenchError: the norm is unknown.
    """
    check_norm(norm)
    if norm == "linf":
        return eps_255 / 255
    if norm == "l2":
        return eps_255 / 255 * math.sqrt(math.prod(shape))
    return float(math.floor(eps_255))


def distance(candidates: Tensor, images: Tensor, norm: str) -> Tensor:
    """(N,) distances between two batches (N, C, H, W), in the unit of ``eps_255``.

    Raises:
        BenchError: the norm is unknown.
    """
    check_norm(norm)
    change = candidates - images
    if norm == "linf":
        return 255 * change.flatten(1).abs().amax(dim=1)
    if norm == "l2":
        length: Tensor = torch.linalg.vector_norm(change.flatten(1), dim=1)
        return length * (255 / math.sqrt(math.prod(images.shape[1:])))
    return (change != 0).any(dim=1).flatten(1).sum(dim=1).to(images.dtype)


def project(candidates: Tensor, images: Tensor, norm: str, eps_255: float) -> Tensor:
    """Nearest images inside the ball around ``images`` and inside [0, 1]; both constraints hold at once.

    In L2 this is the exact projection onto ball and box together: the perturbation is scaled down as a whole while what
    the box stops stays at its face. In L0 the pixels of the largest change (over all channels) are kept, those of a
    lower index where changes tie.

    Args:
        candidates: (N, C, H, W).
        images: (N, C, H, W) in [0, 1].
        norm: one of :data:`NORMS`.
        eps_255: budget, in the norm's unit.

    Raises:
        BenchError: the norm is unknown.
    """
    reach = radius(norm, eps_255, images.shape[1:])
    if norm == "linf":
        return project_linf(candidates, images, reach)
    if norm == "l2":
        return _project_l2(candidates, images, reach)
    return _project_l0(candidates.clamp(0, 1), images, int(reach))


def _project_l2(candidates: Tensor, images: Tensor, reach: float) -> Tensor:
    change = (candidates - images).flatten(1)
    room = box_room(images.flatten(1), change)
    size = change.abs()
    scale = fill(size.square(), size, room, torch.full_like(size[:, 0], reach * reach), power=2).clamp(max=1)
    moved = change.sign() * torch.minimum(scale[:, None] * size, room)
    return (images + moved.reshape(images.shape)).clamp(0, 1)


def _project_l0(candidates: Tensor, images: Tensor, pixels: int) -> Tensor:
    change = (candidates - images).square().sum(dim=1).flatten(1)
    kept = torch.zeros_like(change, dtype=torch.bool)
    order = change.argsort(dim=1, descending=True, stable=True)[:, : min(pixels, change.shape[1])]
    kept.scatter_(1, order, True)
    return torch.where(kept.reshape(len(images), 1, *images.shape[2:]), candidates, images)


def box_room(points: Tensor, directions: Tensor) -> Tensor:
    """How far each component of ``points`` in [0, 1] may go along the sign of ``directions``; same shape as both."""
    return torch.where(directions > 0, 1 - points, points)


def fill(weights: Tensor, size: Tensor, room: Tensor, target: Tensor, power: int) -> Tensor:
    """The scale t at which sum_i weights_i * (min(t * size_i, room_i) / size_i)^power equals ``target``.

    Components that the box stops leave their share to the others. Newton's way from below: with the stopped components
    known the rest is solved exactly, which can only stop more of them, so that a few rounds reach the answer.

    Args:
        weights: (n, D), at least 0.
        size: (n, D), at least 0.
        room: (n, D), at least 0.
        target: (n,), at least 0.
        power: 1 or 2.

    Returns:
        (n,) scales; infinite where even all of the room falls short.
    """
    limit = room / size.clamp_min(1e-30)
    limit = torch.where(size > 0, limit, torch.full_like(limit, torch.inf))
    at_limit = torch.where(size > 0, weights * limit.clamp(max=1e15).pow(power), torch.zeros_like(weights))
    scale = torch.zeros_like(target)
    for _ in range(MAX_ROUNDS):
        stopped = limit <= scale[:, None]
        missing = target - torch.where(stopped, at_limit, 0.0).sum(dim=1)
        moving = torch.where(stopped, 0.0, weights).sum(dim=1)
        larger = (missing.clamp_min(0) / moving).pow(1 / power)
        larger = torch.where(moving > 0, larger, torch.full_like(larger, torch.inf))
        grown = torch.maximum(scale, larger)
        if torch.equal(grown, scale):
            break
        scale = grown
    return scale


def step(gradient: Tensor, norm: str, length_255: float | Tensor) -> Tensor:
    """Steepest ascent of a linear function: the (N, C, H, W) change of the given length that gains most, box aside.

    Args:
        gradient: (N, C, H, W); a component that is not a number asks for no change.
        norm: "linf" or "l2".
        length_255: length of the step, in the norm's unit; one number or (N,).

    Raises:
        BenchError: the norm is another one.
    """
    length = length_255 / 255
    if isinstance(length, Tensor):
        length = length.reshape(-1, 1, 1, 1)
    if norm == "linf":
        return length * ascent_signs(gradient)
    if norm != "l2":
        raise BenchError(f"A gradient step needs the norm 'linf' or 'l2', not '{norm}'.")
    usable = gradient.nan_to_num(nan=0.0)
    # Two scalings: squares of very small or very large components would leave float32's range.
    usable = usable / usable.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-38)
    size: Tensor = torch.linalg.vector_norm(usable.flatten(1), dim=1).clamp_min(1e-12)
    return length * math.sqrt(math.prod(gradient.shape[1:])) * (usable / size.reshape(-1, 1, 1, 1))


def random_start(images: Tensor, norm: str, eps_255: float, draw: Randomness) -> Tensor:
    """A random point of ball and box: uniform in L-inf; in L2 a uniform direction and a uniform share of the radius.

    Raises:
        BenchError: the norm is neither "linf" nor "l2".
    """
    if norm == "linf":
        noise = draw.uniform(images.shape[1:], -eps_255 / 255, eps_255 / 255)
        return project(images + noise, images, norm, eps_255)
    share = draw.uniform((), 0.0, 1.0)
    return project(images + step(draw.normal(images.shape[1:]), norm, share * eps_255), images, norm, eps_255)
