"""Total variation minimisation, one of Medical Aegis's Cushions ("TVM", Table 5)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.defense.stage import Stage
from benchmark.randomness import Randomness

_STEP = 1 / math.sqrt(8)
"""Of both variables; their product may be at most one over the discrete gradient's squared norm, which is below 8."""


class TotalVariation(Stage):
    """Replace each image by a piecewise smooth one that agrees with a random part of its values.

    Medical Aegis cites Guo et al. 2018 for its TVM, who keep a random half of the values and minimise the distance to
    those plus the total variation; so does this stage. With ``keep`` = 1 nothing is random and it is the denoiser of
    Rudin, Osher and Fatemi 1992. For each channel, with the Bernoulli mask m, the minimum over z of

        1/2 * sum m (z - x)^2 + weight * sum |gradient of z|

    is approached by a fixed number of primal-dual steps (Chambolle and Pock 2011, algorithm 1), which need no tolerance
    and no batch-wide stop. Guo et al. write the distance without its square, so that their 0.03 is no value of this
    ``weight``.

    Every step can be differentiated, and autograd through them is the true gradient: values that the draw has dropped
    have none. (Athalye et al. 2018 attack TVM by the identity, which an adaptive attacker here tries beside it.)

    Args:
        weight: of the variation, above 0; a step edge of height h loses about 2 * weight * perimeter / area of it.
        keep: probability that a value is kept, in (0, 1].
        steps: of the solver, at least 1.

    Raises:
        ValueError: a parameter out of range.
    """

    def __init__(self, weight: float = 0.03, keep: float = 0.5, steps: int = 20) -> None:
        super().__init__()
        if not 0 < weight < math.inf:
            raise ValueError(f"the weight of total variation must be a number above 0, not {weight}")
        if not 0 < keep <= 1:
            raise ValueError(f"the share of values that total variation keeps must lie in (0, 1], not {keep}")
        if steps < 1:
            raise ValueError(f"total variation needs at least 1 step, not {steps}")
        self.weight, self.keep, self.steps = weight, keep, steps
        self.stochastic = keep < 1

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Map (N, C, H, W) images to their minimisers; ``draw`` covers N rows."""
        kept = torch.ones_like(images)
        if self.stochastic:
            kept = (draw.uniform(images.shape[1:]) < self.keep).to(images.dtype)
        solution = _filled(images, kept)
        ahead = solution
        dual = [torch.zeros_like(images), torch.zeros_like(images)]
        pull, give = _STEP * kept * images, 1 / (1 + _STEP * kept)
        for _ in range(self.steps):
            dual = self._bounded([part + _STEP * slope for part, slope in zip(dual, _gradient(ahead), strict=True)])
            following = (solution + _STEP * _divergence(dual) + pull) * give
            ahead, solution = 2 * following - solution, following
        return solution

    def _bounded(self, dual: list[Tensor]) -> list[Tensor]:
        # The bound within the root keeps the derivative finite where the image is flat.
        length = (dual[0].square() + dual[1].square()).clamp(min=self.weight**2).sqrt()
        return [part * (self.weight / length) for part in dual]


def _filled(images: Tensor, kept: Tensor) -> Tensor:
    """Fill what is dropped by the mean of what is kept near it: a start close to the solution."""
    channels = images.shape[1]
    window = torch.ones(channels, 1, 5, 5, dtype=images.dtype, device=images.device)
    total, count = (F.conv2d(values, window, padding=2, groups=channels) for values in (images * kept, kept))
    return torch.where(kept > 0, images, total / count.clamp(min=1))


def _gradient(images: Tensor) -> list[Tensor]:
    """Differences to the next row and the next column; zero at the last."""
    return [
        F.pad(images[:, :, 1:] - images[:, :, :-1], (0, 0, 0, 1)),
        F.pad(images[:, :, :, 1:] - images[:, :, :, :-1], (0, 1)),
    ]


def _divergence(field: list[Tensor]) -> Tensor:
    """The negative adjoint of :func:`_gradient`."""
    down, right = field[0][:, :, :-1], field[1][:, :, :, :-1]
    return F.pad(down, (0, 0, 0, 1)) - F.pad(down, (0, 0, 1, 0)) + F.pad(right, (0, 1)) - F.pad(right, (1, 0))
