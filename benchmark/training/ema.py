"""Exponential moving average of a network's weights."""

import copy

import torch
from torch import nn


class Average:
    """A second network whose weights follow those of the first.

    a <- t a + (1 - t) w with t = min(decay, (1 + n) / (10 + n)) after n updates, so that the first, bad weights are
    soon forgotten (Rebuffi et al. 2021, as in the code released with HAT); running statistics are copied.

    Args:
        network: the network to follow.
        decay: in (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Take the weights after an optimiser's step into account."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for own, other in zip(self.network.parameters(), network.parameters(), strict=True):
            own.lerp_(other, 1 - keep)
        for kept, current in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(current)
