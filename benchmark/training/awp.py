"""Adversarial weight perturbation (Wu, Xia & Wang 2020)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

TINY = 1e-20
"""Keeps the division by the norm of a vanishing gradient finite (released code)."""


@contextmanager
def perturbed_weights(network: nn.Module, loss: Callable[[], Tensor], gamma: float) -> Iterator[None]:
    """Hold the weights at their worst point nearby for the length of a block, in which the optimiser may step.

    v_l = gamma ||w_l|| g_l / ||g_l||, g_l the gradient of the loss with respect to layer l (their equations 10 and 11
    with one step; the released code's step on a copy of the network gives the same). Only weights of two dimensions and
    more are moved: no bias and no batch-norm scale. The step that the optimiser takes in the block stays, the
    perturbation is taken away; running statistics do not notice the look at the loss.

    Args:
        network: in train mode.
        loss: computes the scalar loss on this batch's examples.
        gamma: size relative to the norm of each weight.
    """
    moved = [weight for name, weight in network.named_parameters() if weight.ndim > 1 and "weight" in name]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    gradients = torch.autograd.grad(loss(), moved, allow_unused=True)
    with torch.no_grad():
        for buffer, before in buffers:
            buffer.copy_(before)
        steps = [
            gamma * weight.norm() / (gradient.norm() + TINY) * gradient if gradient is not None else 0 * weight
            for weight, gradient in zip(moved, gradients, strict=True)
        ]
        for weight, step in zip(moved, steps, strict=True):
            weight.add_(step)
    yield
    with torch.no_grad():
        for weight, step in zip(moved, steps, strict=True):
            weight.sub_(step)
