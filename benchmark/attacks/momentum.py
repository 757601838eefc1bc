"""Momentum and what was built on it to make examples transfer: MIM, DIM, TIM."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.access import GradientView
from benchmark.access.views import Evaluation
from benchmark.attacks.ascent import Ascent, Guide, check_at_least_one, check_positive
from benchmark.attacks.base import choose, none_yet
from benchmark.errors import BenchError
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal, Objective

LARGEST_KERNEL = 15
"""Side in pixels of TIM's kernel on 299 px images (Dong et al. 2019, section 4.1)."""


@dataclass(frozen=True)
class Mim:
    """MI-FGSM (Dong et al. 2018, Algorithm 1): signed steps along the decayed sum of the normalised gradients.

    It starts from the image itself and returns, per image, the latest iterate that fools the view, else the one of
    highest loss, the image and the last iterate included. A look at a transformed copy decides nothing about the
    iterate; the first step's look is never transformed. Costs ``steps`` gradients and ``steps`` + 1 forward passes per
    image (times EOT samples).

    Args:
        steps: number of steps (the paper's 10).
        alpha_255: step size in 1/255; None takes the paper's: the radius divided by the number of steps.
        decay: weight of the sum so far (the paper's mu = 1).
        probability: chance, per image and step, that the gradient is taken at a copy resized and padded back (DIM).
        resize_rate: smallest share of the side that the copy shrinks to.
        kernel: side in pixels of the Gaussian that smooths the gradient (TIM), odd, 1 for none; its standard deviation
            is a sixth of (side - 1), as in the authors' code. None takes a quarter of the shorter side, an odd number
            from 3 to 15: the paper's 15 belongs to images of 299 px and would cover a small one whole.

    Raises:
        BenchError: a parameter is out of range.
    """

    steps: int = 10
    alpha_255: float | None = None
    decay: float = 1.0
    probability: float = 0.0
    resize_rate: float = 0.9
    kernel: int | None = 1
    knowledge: ClassVar[Literal["gradient"]] = "gradient"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        name = type(self).__name__.lower()
        check_at_least_one(name, steps=self.steps)
        check_positive(name, alpha_255=self.alpha_255)
        if not self.decay >= 0:
            raise BenchError(f"{name}: decay is {self.decay}; give 0 or more.")
        if not 0 <= self.probability <= 1:
            raise BenchError(f"{name}: probability is {self.probability}; give a number from 0 to 1.")
        if not 0 < self.resize_rate < 1:
            raise BenchError(f"{name}: resize_rate is {self.resize_rate}; give a number between 0 and 1.")
        if self.kernel is not None and (self.kernel < 1 or self.kernel % 2 == 0):
            raise BenchError(f"{name}: kernel is {self.kernel}; give an odd number of pixels.")

    def __call__(
        self,
        view: GradientView,
        goal: Goal,
        images: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        alpha = self.alpha_255 if self.alpha_255 is not None else eps_255 / self.steps

        def aim(goal: Goal) -> Objective:
            return goal.objective("cross_entropy")

        def guide(goal: Goal, rows: Tensor, streams: Randomness) -> Guide:
            return _Momentum(self, view, aim(goal), rows, streams)

        ascent = Ascent(view, aim, guide, "linf", eps_255, alpha, self.steps, random_start=False)
        return ascent.restarted(images, goal, draw)


@dataclass(frozen=True)
class Dim(Mim):
    """DI2-FGSM with momentum (Xie et al. 2019): MIM whose gradients are taken at randomly resized and padded copies.

    A copy shrinks to a side drawn between ``resize_rate`` of the image's and the whole, and is padded with black at a
    random place back to the image's size, each image on its own. Parameters and costs as :class:`Mim`.
    """

    probability: float = 0.5


@dataclass(frozen=True)
class Tim(Mim):
    """TI-MI-FGSM (Dong et al. 2019): MIM along gradients smoothed by a Gaussian, each channel alone.

    With ``probability`` above 0 it is the authors' TI-DIM. Parameters and costs as :class:`Mim`.
    """

    kernel: int | None = None


class _Momentum:
    """The guide of one start."""

    def __init__(self, attack: Mim, view: GradientView, objective: Objective, rows: Tensor, draw: Randomness) -> None:
        self._attack, self._view, self._objective = attack, view, objective
        self._rows, self._draw = rows, draw
        self._sum: Tensor | None = None

    def __call__(self, iterate: Tensor) -> tuple[Evaluation, Tensor]:
        first = self._sum is None
        if first or self._attack.probability == 0:
            look, plain = self._look(iterate), ~none_yet(iterate)
        else:
            look, plain = self._diverse_look(iterate)
        gradient = look.gradient.nan_to_num(nan=0.0)
        side = self._attack.kernel or default_kernel(*iterate.shape[2:])
        if side > 1:
            gradient = smooth(gradient, side)
        size = gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        normalised = gradient / size.clamp_min(1e-30)
        self._sum = normalised if self._sum is None else self._attack.decay * self._sum + normalised
        return Evaluation(look.loss, self._sum, look.logits), plain

    def _look(self, images: Tensor) -> Evaluation:
        return self._view.evaluate(images, self._objective, self._rows)

    def _diverse_look(self, iterate: Tensor) -> tuple[Evaluation, Tensor]:
        dice = self._draw.uniform((4,))
        changed = dice[:, 0] < self._attack.probability
        with torch.enable_grad():
            leaf = iterate.detach().requires_grad_(True)
            copies = choose(changed, resize_and_pad(leaf, self._attack.resize_rate, dice[:, 1:]), leaf)
        look = self._look(copies.detach())
        (gradient,) = torch.autograd.grad(copies, leaf, look.gradient)
        return Evaluation(look.loss, gradient, look.logits), ~changed


def resize_and_pad(images: Tensor, rate: float, dice: Tensor) -> Tensor:
    """Shrink each image to a random size and pad it with black at a random place; differentiable.

    Args:
        images: (n, C, H, W).
        rate: smallest share of the side; the largest leaves out at most one pixel of the side.
        dice: (n, 3) numbers in [0, 1) that decide size, row and column of each image.

    Returns:
        (n, C, H, W); nearest-neighbour sampling, as in the paper's code.
    """
    height, width = images.shape[2:]
    smallest = max(1, int(rate * height))
    rows = smallest + (dice[:, 0] * (height - smallest)).long()
    columns = (rows * width).div(height, rounding_mode="floor").clamp(min=1)
    down = _source(height, rows, (dice[:, 1] * (height - rows + 1)).long(), images.device)
    across = _source(width, columns, (dice[:, 2] * (width - columns + 1)).long(), images.device)
    # Places outside the copy read one black row or column appended to the image.
    padded = F.pad(images, (0, 1, 0, 1))
    n, channels = images.shape[:2]
    by_row = padded.gather(2, down[:, None, :, None].expand(n, channels, height, width + 1))
    return by_row.gather(3, across[:, None, None, :].expand(n, channels, height, width))


def _source(side: int, sizes: Tensor, starts: Tensor, device: torch.device) -> Tensor:
    """(n, side): the source of each pixel when the image shrinks to ``sizes`` from ``starts``; ``side`` means none."""
    place = torch.arange(side, device=device)[None] - starts[:, None]
    source = (place * side).div(sizes[:, None], rounding_mode="floor")
    return torch.where((place >= 0) & (place < sizes[:, None]), source, torch.full_like(source, side))


def default_kernel(height: int, width: int) -> int:
    """Side of the smoothing kernel for an image size: a quarter of the shorter side, odd, from 3 to 15."""
    quarter = min(height, width) // 4
    return max(3, min(LARGEST_KERNEL, quarter - 1 + quarter % 2))


def smooth(
    images: Tensor, side: int, sigma: float | None = None, *, border: Literal["black", "edge"] = "black"
) -> Tensor:
    """Gaussian filter of each channel of (n, C, H, W), any number of channels.

    Args:
        images: what to filter.
        side: of the kernel, odd.
        sigma: standard deviation in pixels; None takes a sixth of ``side`` - 1.
        border: what lies outside: zeros, or the nearest pixel again.
    """
    spread = sigma if sigma is not None else (side - 1) / 6
    place = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    bell = torch.exp(-place.square() / (2 * spread * spread))
    weights = (bell / bell.sum()).tolist()
    half = side // 2
    for axis in (2, 3):
        sides = (0, 0, half, half) if axis == 2 else (half, half, 0, 0)
        wide = F.pad(images, sides, mode="replicate" if border == "edge" else "constant")
        # Shifted sums, not a convolution: a library's convolution may round differently for another batch size.
        shifted = [weight * wide.narrow(axis, k, images.shape[axis]) for k, weight in enumerate(weights)]
        images = torch.stack(shifted).sum(dim=0)
    return images
