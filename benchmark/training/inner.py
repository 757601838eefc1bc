"""Inner maximisation: adversarial examples for training, made on a network whose batch-norm statistics stand still.

Every function here takes a network in eval mode, images (N, C, H, W) in [0, 1] and budgets in 1/255, and returns
images inside the ball and inside [0, 1].
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.access import white_box
from benchmark.attacks.base import ascent_signs
from benchmark.attacks.pgd import Pgd
from benchmark.defense import Defense
from benchmark.randomness import Randomness
from benchmark.task.goal import Task
from benchmark.training.tables import Adversary

Objective = Callable[[Tensor], Tensor]
"""Maps logits (N, K) to what each image's attacker ascends, (N,)."""

NEAR = 0.001
"""Standard deviation of the start of TRADES, MART and HAT, in [0, 1] (their released code)."""


def attacked(
    network: nn.Module, adversary: Adversary, images: Tensor, labels: Tensor, draw: Randomness, task: Task
) -> Tensor:
    """The benchmark's PGD: the inner maximisation of Madry et al. 2018, equation 2.1, and of every validation.

    Of the iterates it returns one that fools the network, else the one of highest loss.
    """
    attack = Pgd(steps=adversary.steps, alpha_255=adversary.alpha_255)
    view = white_box(Defense(network, task.outputs), draw.fork("view"))
    return attack(view, task.goal(labels), images, adversary.eps_255, draw)


def ascend(
    network: nn.Module, images: Tensor, start: Tensor, objective: Objective, adversary: Adversary, steps: int
) -> Tensor:
    """Signed gradient ascent with a fixed step; the LAST iterate, as the papers' released codes return it.

    x_{t+1} = clip_{x, eps}(x_t + alpha sign(grad objective(f(x_t)))).

    Args:
        network: in eval mode.
        images: the centres of the balls.
        start: the first iterate.
        objective: what is ascended.
        adversary: supplies radius and step size.
        steps: number of steps; 0 returns the start.
    """
    iterate = start
    for _ in range(steps):
        iterate = one_step(images, iterate, input_gradient(network, iterate, objective)[0], adversary)
    return iterate


def one_step(images: Tensor, iterate: Tensor, gradient: Tensor, adversary: Adversary) -> Tensor:
    """One signed step from ``iterate`` along ``gradient``, projected onto ball and [0, 1]."""
    return within(iterate + adversary.alpha_255 / 255 * ascent_signs(gradient), images, adversary.eps_255)


def within(candidates: Tensor, images: Tensor, eps_255: float | Tensor) -> Tensor:
    """Project onto the ball and [0, 1]; the radius is one number or (N,)."""
    reach = eps_255.reshape(-1, 1, 1, 1) / 255 if isinstance(eps_255, Tensor) else eps_255 / 255
    return torch.minimum(torch.maximum(candidates, images - reach), images + reach).clamp(0, 1)


def input_gradient(network: nn.Module, iterate: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
    """Gradient (N, C, H, W) of each image's own objective, and the logits (N, K), both detached."""
    leaf = iterate.detach().requires_grad_(True)
    logits = network(leaf)
    (gradient,) = torch.autograd.grad(objective(logits).sum(), leaf)
    return gradient, logits.detach()


def near_start(images: Tensor, eps_255: float, draw: Randomness) -> Tensor:
    """x + 0.001 N(0, 1), the start of TRADES, MART and HAT."""
    return within(images + draw.normal(images.shape[1:], NEAR), images, eps_255)


def uniform_start(images: Tensor, eps_255: float, draw: Randomness) -> Tensor:
    """x + U(-eps, eps), the start of PGD."""
    return within(images + draw.uniform(images.shape[1:], -eps_255 / 255, eps_255 / 255), images, eps_255)


def cross_entropy_of(labels: Tensor) -> Objective:
    """-log p_y for labels (N,)."""
    return lambda logits: F.cross_entropy(logits, labels, reduction="none")
