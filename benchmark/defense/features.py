"""Features inside a classifier, by the names of its modules."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from benchmark.errors import BenchError, did_you_mean

PENULTIMATE = "penultimate"
"""Name of the input of the classifier's last linear layer, which needs no declaration."""


def check_layers(classifier: nn.Module, layers: Sequence[str]) -> None:
    """Make sure that every layer can be found.

    Args:
        classifier: the network.
        layers: names as ``named_modules`` gives them, or :data:`PENULTIMATE`.

    Raises:
        BenchError: no layer is named, a name is unknown, or there is no linear layer whose input could be taken.
    """
    if not layers:
        raise BenchError("No feature layer is named; name modules of the classifier, or 'penultimate'.")
    for layer in layers:
        _module(classifier, layer)


@contextmanager
def taken(classifier: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the features of the classifier's next forward passes: of each layer its last output.

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
            if layer == PENULTIMATE:
                handle = module.register_forward_pre_hook(lambda _, given, name=layer: keep(name, given[0]))
            else:
                handle = module.register_forward_hook(lambda _, __, answer, name=layer: keep(name, answer))
            hooks.callback(handle.remove)
        yield found


def _module(classifier: nn.Module, layer: str) -> nn.Module:
    modules = {name: module for name, module in classifier.named_modules() if name}
    if layer != PENULTIMATE:
        if layer not in modules:
            raise BenchError(f"The classifier has no feature layer '{layer}'.{did_you_mean(layer, modules)}")
        module: nn.Module = modules[layer]
        return module
    linear = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise BenchError("The classifier has no linear layer; name its feature_layers when you build the Defense.")
    return linear[-1]
