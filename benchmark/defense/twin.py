"""A defense's fast twin: the same function with fewer operations, for attacks; the judge asks the original."""

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from benchmark.defense.defense import Defense
from benchmark.defense.runtime import compiled, is_own
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

    Where no gradient is asked for, an inference runtime answers for a network of the benchmark's own. Features are
    asked of the original: in the twin some modules are no longer there.

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
        told = _answer(network, images)
        if not _agree(told, _answer(folded, images)):
            return None
        if is_own(network):
            folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            folded = compiled(network, folded, shape)
            if not _close(told[0], _without_gradient(folded, images)):
                return None
    except Exception:
        return None
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


def _without_gradient(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(images)
        return logits


def _close(logits: Tensor, again: Tensor) -> bool:
    return bool(((logits - again).abs() <= AGREEMENT).all())


def _agree(told: tuple[Tensor, Tensor], again: tuple[Tensor, Tensor]) -> bool:
    (logits, slope), (folded_logits, folded_slope) = told, again
    if logits.shape != folded_logits.shape:
        return False
    most = GRADIENT_AGREEMENT * slope.flatten(1).abs().amax(dim=1)[:, None, None, None]
    same_slope = ((slope - folded_slope).abs() <= most).flatten(1).all(dim=1)
    # Where an activation is at its kink, rounding alone decides to which side; that is no other function.
    mostly = float(same_slope.float().mean()) >= MOSTLY
    return _close(logits, folded_logits) and mostly


def probes(shape: tuple[int, int, int]) -> Tensor:
    """Images (N, C, H, W) of noise, of plain grey levels and of black and white, the same for ever."""
    noise = Randomness(range(_PROBES)).uniform(shape)
    plain = torch.tensor(_LEVELS).reshape(-1, 1, 1, 1).expand(-1, *shape)
    steps = (noise > 0.5).to(noise.dtype)
    return torch.cat([noise, plain, steps])
