"""Networks inside a defense: an attacker who owns the deployed system calls them, whatever is wrapped around them."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from benchmark.defense.defense import Defense
from benchmark.defense.runtime import is_known, is_own
from benchmark.defense.transparent import seen_through, slope_of
from benchmark.defense.twin import probes
from benchmark.randomness import Randomness

_COARSE = 8
"""Images of each coarseness among the landmarks."""

_COPIES = 8
"""Copies of a vote that a recorded decision takes."""


def inner_networks(defense: Defense, images: Tensor) -> list[nn.Module]:
    """Modules that turned images into logits while the defense decided and was differentiated, the last one first.

    A module counts however the defense keeps it, and whether or not gradients pass what is around it.

    Args:
        defense: whose.
        images: (N, C, H, W) float32 in [0, 1], of whatever kinds take different ways.
    """
    found: list[nn.Module] = []
    calls: list[nn.Module] = []
    shape, classes = images.shape[1:], defense.num_classes

    def note(module: nn.Module, given: tuple[object, ...], told: object) -> None:
        if not given or not isinstance(given[0], Tensor) or not isinstance(told, Tensor):
            return
        if given[0].shape[1:] == shape and told.shape == (len(given[0]), classes):
            calls.append(module)

    handle = register_module_forward_hook(note)
    draw, asked = Randomness([0], images.device), defense.answering(_COPIES)
    try:
        # One by one: an image may decide which network answers.
        for image in (images[place : place + 1] for place in range(len(images))):
            asked.predict(image, draw.restarted())
            with torch.no_grad():
                defense.adaptive_logits(image, draw.restarted(), 1)
    finally:
        handle.remove()
    # A hook is called when its module returns: one that calls another comes after it.
    for module in reversed(calls):
        if module is not defense and not any(module is other for other in found):
            found.append(module)
    # The classifier of a defense that adds nothing of its own is what the usual attacks differentiate already.
    if type(defense) is Defense:
        found = [module for module in found if module is not defense.classifier]
    return found


def inner_defenses(defense: Defense, images: Tensor) -> list[Defense]:
    """What stands inside a defense and can be attacked by itself; arguments as :func:`inner_networks`.

    First its networks behind its stages, then the places at which scores are seen when nothing hides them. A defense of
    the benchmark's own parts hides nothing: the usual attacks differentiate it.
    """
    networks = [behind_stages(defense, network) for network in inner_networks(defense, images)]
    found: list[Defense] = [one for one in networks if slope_of(one, images) is not None]
    if is_all_own(defense):
        return found
    return [*found, *seen_through(defense, images, found)]


def is_all_own(defense: Defense) -> bool:
    """Whether nothing of a defense is code of its author's: its class, its network and its stages."""
    stages = all(is_known(part) for stage in defense.stages for part in stage.modules())
    return type(defense) is Defense and is_own(defense.classifier) and stages


def landmarks(shape: tuple[int, int, int]) -> Tensor:
    """Images (N, C, H, W) of many kinds, coarse and fine, on which a network decides this way and that."""
    draw = Randomness(range(_COARSE))
    coarse = [
        F.interpolate(draw.fork(cells).uniform((shape[0], cells, cells)), size=shape[1:], mode="bilinear")
        for cells in (2, 3, 5)
    ]
    return torch.cat([probes(shape), *(0.6 * images + 0.2 for images in coarse)])


def behind_stages(defense: Defense, network: nn.Module) -> Defense:
    """The defense's stages, then the network itself: no vote, and none of the ways around it."""
    inner = Defense.__new__(Defense)
    nn.Module.__init__(inner)
    inner.classifier = network
    inner.num_classes = defense.num_classes
    inner.stages = copy.copy(defense.stages)
    inner.vote = None
    inner.feature_layers = ()
    return inner.eval()
