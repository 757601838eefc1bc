"""Differentiable stand-ins that a stage may declare for its backward pass."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from benchmark.defense.stage import Stage
from benchmark.errors import BenchError
from benchmark.randomness import Randomness, content_seed

_BATCH = 32
"""Images in one step of a fit."""


def soft_median(images: Tensor, temperature: float = 0.02) -> Tensor:
    """Smooth 3x3 median of each channel, mirrored at the border.

    The median has the least sum of distances to its neighbours; here each of the nine values weighs the exponential of
    minus that sum, so that all that could be the median share in the gradient.

    Args:
        images: (N, C, H, W) in [0, 1], H and W at least 2.
        temperature: in the unit of the sum; towards 0 the median itself.
    """
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    height, width = images.shape[2:]
    values = torch.stack([padded[:, :, r : r + height, c : c + width] for r in range(3) for c in range(3)])
    apart = torch.stack([(values - value).abs().sum(dim=0) for value in values])
    weights = (-apart / temperature).softmax(dim=0)
    return (weights * values).sum(dim=0)


class WithStandIn(Stage):
    """Deploys a stage and declares a network for its backward pass.

    Args:
        stage: what is deployed.
        network: maps (N, C, H, W) images to what ``stage`` makes of them, nearly; see :func:`fit_stand_in`.
    """

    differentiable = False

    def __init__(self, stage: Stage, network: nn.Module) -> None:
        super().__init__()
        self.stage = stage
        self.network = network
        self.stochastic = stage.stochastic

    def apply_true(self, images: Tensor, draw: Randomness) -> Tensor:
        """Transform (N, C, H, W) images as the deployed stage does."""
        return self.stage.apply_true(images, draw)

    def stand_in(self, images: Tensor, draw: Randomness) -> Tensor:
        """The network's (N, C, H, W) imitation."""
        del draw
        imitation: Tensor = self.network(images)
        return imitation


class LearnedStandIn(nn.Module):
    """A small residual network from images to images: the identity plus a correction, which is zero before any fit.

    Args:
        channels: C.
        width: channels inside.
        depth: 3x3 convolutions, at least 2.
        seed: of the first weights.

    Raises:
        BenchError: fewer than two convolutions.
    """

    def __init__(self, channels: int, width: int = 16, depth: int = 4, seed: int = 0) -> None:
        super().__init__()
        if depth < 2:
            raise BenchError(f"A learned stand-in needs at least 2 convolutions, not {depth}.")
        generator = torch.Generator().manual_seed(seed)
        widths = [channels, *[width] * (depth - 1), channels]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            # Without an initialisation of its own, which would draw from the global generator.
            layer: nn.Conv2d = skip_init(nn.Conv2d, before, after, 3, padding=1, padding_mode="replicate")  # type: ignore[no-untyped-call]
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.get_parameter("bias"))
            layers += [layer, nn.SiLU()]
        nn.init.zeros_(layer.weight)
        self.correction = nn.Sequential(*layers[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) images in [0, 1] to images of that shape, whose values are not clipped."""
        corrected: Tensor = images + self.correction(images - 0.5)
        return corrected


def fit_stand_in(
    stage: Stage, images: Tensor, *, seed: int = 0, steps: int = 400, width: int = 16, depth: int = 4
) -> LearnedStandIn:
    """Fit a network to imitate a stage: least squares, Adam, a learning rate that falls to zero along a cosine.

    The same arguments give the same network. Of a stochastic stage it learns the mean. Store its ``state_dict`` with a
    submission's weights and declare it by :class:`WithStandIn`.

    Args:
        stage: what to imitate; it must keep the shape.
        images: (N, C, H, W) float32 in [0, 1], of the training split.
        seed: of weights, batches and the stage's own draws.
        steps: updates of 32 images each.
        width, depth: of the network.

    Raises:
        BenchError: there is no image, or the stage changes the shape.
    """
    if len(images) == 0:
        raise BenchError("A stand-in was given no image to learn from; give training images.")
    network = LearnedStandIn(images.shape[1], width, depth, seed).to(images.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    order = torch.Generator().manual_seed(content_seed("stand-in", seed))
    for step in range(steps):
        places = torch.randint(len(images), (min(_BATCH, len(images)),), generator=order)
        batch = images[places.to(images.device)]
        draw = Randomness((content_seed("stand-in", seed, step, place) for place in range(len(batch))), images.device)
        wanted = stage(batch, draw).detach()
        if wanted.shape != batch.shape:
            raise BenchError(f"A stand-in cannot be learned for {type(stage).__name__}: it changes the images' shape.")
        with torch.enable_grad():
            loss = (network(batch) - wanted).square().mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return network.requires_grad_(False).eval()
