"""A defense's fast twin: the same function with fewer operations, for attacks; the judge asks the original."""

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from benchmark.defense.defense import Defense
from benchmark.randomness import Randomness

AGREEMENT = 1e-4
"""Most by which a logit of a twin that is used differs from the original's."""

GRADIENT_AGREEMENT = 1e-3
"""Most by which its gradient differs from the original's, for each unit of that one's largest component."""

MOSTLY = 0.75
"""Share of the images on which gradients must agree."""

_PROBES = 4
"""Images of noise on which the two are compared, beside plain ones of a few grey levels."""

_LEVELS = (0.0, 0.25, 0.5, 1.0)


def twin_of(defense: Defense, shape: tuple[int, int, int], device: torch.device) -> Defense | None:
    """The defense with batch normalisation folded into convolutions, or None where that cannot be done faithfully.

    Features are asked of the original: in the twin some modules are no longer there.

    Args:
        defense: in eval mode.
        shape: (C, H, W) of its images.
        device: where it runs.
    """
    network = defense.classifier
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folded = _folded(network)
        images = probes(shape).to(device)
        same = _agree(_answer(network, images), _answer(folded, images))
    except Exception:
        return None
    if not same:
        return None
    if type(network).__module__.startswith("benchmark.models"):
        folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    twin = copy.copy(defense)
    twin._modules = {**defense._modules, "classifier": folded.eval().requires_grad_(False)}
    return twin


def _folded(module: nn.Module) -> nn.Module:
    """The module, or where its path depends on its input as much of it as can be traced, with less to do."""
    inside = list(module.children())
    if not inside or not any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
        return module
    try:
        return fuse(module)
    except Exception:
        part = copy.copy(module)
        part._modules = {name: child and _folded(child) for name, child in module._modules.items()}
        return part


def _answer(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, K), and the gradient of the first class's margin over the others, (N, C, H, W).

    A gradient of the author's own, such as a quantiser's, can be lost in tracing though the logits are the same.
    """
    with torch.enable_grad():
        leaf = images.clone().requires_grad_()
        logits = network(leaf)
        (slope,) = torch.autograd.grad((logits[:, 0] - logits[:, 1:].mean(dim=1)).sum(), leaf)
    return logits.detach(), slope


def _agree(told: tuple[Tensor, Tensor], again: tuple[Tensor, Tensor]) -> bool:
    (logits, slope), (folded_logits, folded_slope) = told, again
    if logits.shape != folded_logits.shape:
        return False
    most = GRADIENT_AGREEMENT * slope.flatten(1).abs().amax(dim=1)[:, None, None, None]
    same_slope = ((slope - folded_slope).abs() <= most).flatten(1).all(dim=1)
    # Where an activation is at its kink, rounding alone decides to which side; that is no other function.
    mostly = float(same_slope.float().mean()) >= MOSTLY
    return bool(((logits - folded_logits).abs() <= AGREEMENT).all()) and mostly


def probes(shape: tuple[int, int, int]) -> Tensor:
    """Images (N, C, H, W) of noise, of plain grey levels and of black and white, the same for ever."""
    noise = Randomness(range(_PROBES)).uniform(shape)
    plain = torch.tensor(_LEVELS).reshape(-1, 1, 1, 1).expand(-1, *shape)
    steps = (noise > 0.5).to(noise.dtype)
    return torch.cat([noise, plain, steps])
