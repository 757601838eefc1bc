"""Features inside a classifier, by the names of its modules."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from benchmark.errors import BenchError, did_you_mean

PENULTIMATE = "penultimate"
"""Name of the input of the classifier's last layer, which needs no declaration."""


def check_layers(classifier: nn.Module, layers: Sequence[str]) -> None:
    """Make sure that every layer can be found.

    Args:
        classifier: the network.
        layers: names as ``named_modules`` gives them, or :data:`PENULTIMATE`.

    Raises:
        BenchError: no layer is named, or a name is unknown.
    """
    if not layers:
        raise BenchError("No feature layer is named; name modules of the classifier, or 'penultimate'.")
    for layer in layers:
        if layer != PENULTIMATE:
            _module(classifier, layer)


def with_features(classifier: nn.Module, images: Tensor, layers: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
    """Pass images through a classifier and collect features on the way.

    The penultimate features are the input of the last layer with weights that the logits depend on: of the last linear
    one where there is one (a classifier may have heads that it never uses), else of any other. They are the logits
    themselves where no such layer can be looked into, as in TorchScript.

    Args:
        classifier: maps (N, C, H, W) to logits (N, K).
        images: (N, C, H, W).
        layers: names as for :func:`check_layers`.

    Returns:
        Layer name -> (N, ...), attached to the graph, of each layer its last output; and the logits.

    Raises:
        BenchError: there is no such layer, or one answers with something other than one tensor.
    """
    head = _head(classifier, images) if PENULTIMATE in layers else None
    with taken(classifier, [layer for layer in layers if layer != PENULTIMATE], head) as found:
        logits: Tensor = classifier(images)
    if PENULTIMATE in layers and PENULTIMATE not in found:
        found[PENULTIMATE] = logits
    return found, logits


@contextmanager
def taken(classifier: nn.Module, layers: Sequence[str], head: nn.Module | None = None) -> Iterator[dict[str, Tensor]]:
    """Collect the features of the classifier's next forward passes: of each layer its last output, of a head its input.

    Yields:
        Layer name -> (rows, ...), attached to the graph; filled by the forward pass.

    Raises:
        BenchError: as :func:`check_layers`, or a layer answers with something other than one tensor.
    """
    found: dict[str, Tensor] = {}

    def keep(layer: str, value: object) -> None:
        if not isinstance(value, Tensor):
            raise BenchError(
                f"Feature layer '{layer}' answers with {type(value).__name__}; name one that gives a tensor."
            )
        # A later layer may work in place on what this one gave.
        found[layer] = value.clone()

    with ExitStack() as hooks:
        for layer in layers:
            module = _module(classifier, layer)
            if _sealed(module):
                raise BenchError(f"Feature layer '{layer}' is TorchScript, which cannot be looked into; name another.")
            handle = module.register_forward_hook(lambda _, __, answer, name=layer: keep(name, answer))
            hooks.callback(handle.remove)
        if head is not None:
            handle = head.register_forward_pre_hook(
                lambda _, args, kwargs: keep(PENULTIMATE, _first_tensor(args, kwargs)), with_kwargs=True
            )
            hooks.callback(handle.remove)
        yield found


_heads: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
"""Name of each classifier's head, empty where none can be looked into."""


def _head(classifier: nn.Module, images: Tensor) -> nn.Module | None:
    """The last layer with weights that the logits depend on, a linear one first; found once, by a pass of one image."""
    if classifier not in _heads:
        _heads[classifier] = _find_head(classifier, images[:1].detach())
    name = _heads[classifier]
    return classifier.get_submodule(name) if name else None


def _find_head(classifier: nn.Module, image: Tensor) -> str:
    given: dict[str, Tensor] = {}

    def note(name: str, value: Tensor | None) -> None:
        if value is not None and value.requires_grad:
            given.pop(name, None)
            given[name] = value

    with ExitStack() as hooks, torch.enable_grad():
        for name, module in classifier.named_modules():
            if name and not _sealed(module) and any(True for _ in module.parameters(recurse=False)):
                handle = module.register_forward_pre_hook(
                    lambda _, args, kwargs, name=name: note(name, _first_tensor(args, kwargs)), with_kwargs=True
                )
                hooks.callback(handle.remove)
        logits = classifier(image.clone().requires_grad_())
        if not isinstance(logits, Tensor) or not logits.requires_grad:
            return ""
        total = logits.sum()
    linear = [name for name in given if isinstance(classifier.get_submodule(name), nn.Linear)]
    for name in [*reversed(linear), *(other for other in reversed(given) if other not in linear)]:
        (slope,) = torch.autograd.grad(total, given[name], retain_graph=True, allow_unused=True)
        if slope is not None:
            return name
    return ""


def _sealed(module: nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule)


def _first_tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    return next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)


def _module(classifier: nn.Module, layer: str) -> nn.Module:
    modules = {name: module for name, module in classifier.named_modules() if name}
    if layer not in modules:
        raise BenchError(f"The classifier has no feature layer '{layer}'.{did_you_mean(layer, modules)}")
    module: nn.Module = modules[layer]
    return module
