"""The U-Net that turns an image into a perturbation of it (Poursaeed et al. 2018, as the seed paper 004 runs it)."""

import math

import torch
from torch import Tensor, nn

from benchmark.randomness import Randomness

WIDTHS = (1, 2, 4, 8, 8, 8)
"""Channels of the six down-convolutions, in units of the first's (64 as published)."""

SMALLEST = 4
LEAK, DROPOUT = 0.2, 0.5
INITIAL_STD, PUBLISHED_WIDTH = 0.02, 64


class PerturbationUNet(nn.Module):
    """Strided convolutions down, transposed ones up, a skip at each level, tanh at the end.

    As described: LeakyReLU(0.2) down and ReLU up, batch normalisation except after the first convolution, at the
    bottleneck and at the output, dropout one half after the first transposed convolution. A side of even length is
    halved by a kernel of 4, one of odd length by a kernel of 3, both of stride 2 and padding 1, which gives the
    published five and one at 224 pixels. Halving ends at 4 pixels, so that small images have fewer levels:
    3 at 28 and 32, 4 at 64, 6 at 224. Each layer has its own normalisation (the released code shares them).

    Args:
        channels: channels of the image and of the perturbation.
        size: height and width of the images.
        width: channels of the first convolution.
    """

    def __init__(self, channels: int, size: tuple[int, int], width: int) -> None:
        super().__init__()
        self.width = width
        kernels = _kernels(size)
        depth = len(kernels)
        maps = [channels, *(width * factor for factor in WIDTHS[:depth])]
        self.down = nn.ModuleList(
            nn.Conv2d(maps[level], maps[level + 1], kernels[level], stride=2, padding=1) for level in range(depth)
        )
        self.down_norms = nn.ModuleList(
            nn.BatchNorm2d(maps[level + 1]) if 0 < level < depth - 1 else nn.Identity() for level in range(depth)
        )
        # From the second on, an up-convolution also sees what went down at its level.
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(
                maps[level + 1] * (1 if level == depth - 1 else 2), maps[level], kernels[level], stride=2, padding=1
            )
            for level in reversed(range(depth))
        )
        self.up_norms = nn.ModuleList(
            nn.BatchNorm2d(maps[level]) if level > 0 else nn.Identity() for level in reversed(range(depth))
        )

    def forward(self, images: Tensor, drop: Randomness | None = None) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to (N, C, H, W) in [-1, 1].

        Args:
            images: of the size that the network was built for.
            drop: ONE stream that dropout draws from; None leaves dropout out.
        """
        flow, skips = 2 * images - 1, []
        for level, (down, norm) in enumerate(zip(self.down, self.down_norms, strict=True)):
            flow = norm(down(nn.functional.leaky_relu(flow, LEAK) if level else flow))
            skips.append(flow)
        skips.pop()
        for step, (up, norm) in enumerate(zip(self.up, self.up_norms, strict=True)):
            flow = norm(up(flow.relu()))
            if skips:
                if step == 0 and drop is not None:
                    flow = flow * (drop.uniform(flow.shape)[0] >= DROPOUT) / (1 - DROPOUT)
                flow = torch.cat([flow, skips.pop()], dim=1)
        return flow.tanh()


def initial_state(network: PerturbationUNet, draw: Randomness) -> dict[str, Tensor]:
    """Weights from a normal distribution, biases zero, neutral normalisations.

    The spread is the published 0.02 at the published width; a narrower network has it larger, so that the sums over
    its fewer channels begin as large.

    Args:
        network: its shapes decide; it may be on torch's meta device.
        draw: ONE stream.
    """
    spread = INITIAL_STD * math.sqrt(PUBLISHED_WIDTH / network.width)
    state: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        if name.endswith("weight") and value.dim() == 4:
            state[name] = draw.normal(value.shape, spread)[0]
        elif name.endswith(("weight", "running_var")):
            state[name] = torch.ones(value.shape, device=draw.device)
        else:
            state[name] = torch.zeros(value.shape, dtype=value.dtype, device=draw.device)
    return state


def _kernels(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Kernel of each level, finest first; at least one level."""
    kernels: list[tuple[int, int]] = []
    height, width = size
    while not kernels or (len(kernels) < len(WIDTHS) and min(height, width) > SMALLEST):
        kernels.append((4 - height % 2, 4 - width % 2))
        height, width = (height + 1) // 2, (width + 1) // 2
    return kernels
