"""Feature enhancement (survey, section 4.6): networks altered inside rather than images before them.

Every function takes a network and returns an altered copy; the one given stays as it was. Layers that are modules are
replaced (``nn.ReLU()``, not ``torch.relu``), wherever they sit. A network that also calls such a layer as a function is
refused: it would be altered in part.

A recipe's ``[surgery]`` table trains with them. The entry that deploys the weights alters its network in the same way
before it loads them: ``context.load_weights(with_average_pooling(NarrowResNet18(...)))``. Dual batch normalisation
needs nothing there, because one half alone is stored.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from benchmark.errors import BenchError

Network = TypeVar("Network", bound=nn.Module)
Statistics = Literal["main", "auxiliary"]
Shape = tuple[int, int, int]
"""(channels, height, width) of an image."""

POOLS = frozenset({"max_pool2d", "max_pool2d_with_indices"})
RELUS = frozenset({"relu", "relu_", "relu6"})
"""Names of the functions that a network may call instead of the module."""

TRIED_SIZE = 96
"""Height and width of the image that a network is tried with; every architecture here takes it."""

SIX = 6.0
"""Where a ReLU6 is bounded already."""


class BoundedReLU(nn.Module):
    """min(max(x, 0), t): a perturbation cannot grow without end on its way (Zantedeschi et al. 2017, section 4.1).

    On the bound the gradient is zero. A bound below most activations hides the way from an attacker who follows the
    gradient, and from no other: the network without the bound shows it.

    Args:
        bound: t, above 0.

    Raises:
        BenchError: a bound that is not a positive number.
    """

    def __init__(self, bound: float) -> None:
        super().__init__()
        if not 0 < bound < float("inf"):
            raise BenchError(f"a bounded ReLU needs a bound above 0, not {bound}.")
        self.bound = bound

    def forward(self, values: Tensor) -> Tensor:
        """Clip values of any shape to [0, t]."""
        return values.clamp(0, self.bound)


class DropMaxPool2d(nn.Module):
    """Pool by the second largest value of each window, the largest being dropped (MIRST-DM, Sun et al. 2022).

    The survey (section 4.1): the layer is "to discard the maximum value and forward the second-largest value", which is
    the one that a single attacked place cannot raise. Padding is never the answer, as in a max-pool; a window that
    holds a single value beside it forwards that.

    Args:
        kernel_size: side of the window, at least 2, or (height, width).
        stride: of the window; None takes its size.
        padding: at each border.

    Raises:
        BenchError: a window of fewer than two values.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.kernel_size = _pair(kernel_size)
        self.stride = self.kernel_size if stride is None else _pair(stride)
        self.padding = _pair(padding)
        if self.kernel_size[0] * self.kernel_size[1] < 2:
            raise BenchError("a drop-max layer needs a window of at least two values; a single one would be dropped.")

    def forward(self, maps: Tensor) -> Tensor:
        """Pool (N, C, H, W)."""
        (high, wide), (down, across) = self.kernel_size, self.stride
        top, left = self.padding
        padded = F.pad(maps, (left, left, top, top), value=-torch.inf)
        windows = padded.unfold(2, high, down).unfold(3, wide, across).flatten(4)
        first, second = windows.topk(2, dim=4).values.unbind(4)
        return torch.where(second == -torch.inf, first, second)


class DualBatchNorm2d(nn.Module):
    """Two batch normalisations of which one is in use (AdvProp, Xie et al. 2020; Han et al. 2021 on medical images).

    Clean and adversarial images have different statistics; mixed in one layer they spoil each other's. In training
    clean batches go through ``main`` and adversarial ones through ``auxiliary``, weights and biases included.

    Args:
        norm: the layer to double; both halves begin as its copies.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.main = copy.deepcopy(norm)
        self.auxiliary = copy.deepcopy(norm)
        self.used: Statistics = "main"

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise (N, C, H, W) by the half in use."""
        normalised: Tensor = (self.main if self.used == "main" else self.auxiliary)(maps)
        return normalised


def with_average_pooling(network: Network, shape: Shape | None = None) -> Network:
    """Replace every max-pool by an average pool of the same window (Taghanaki et al. 2018, survey section 4.6).

    Args:
        network: holds ``nn.MaxPool2d`` modules.
        shape: of an image that the network takes; it is tried with one. By default 96 x 96 pixels in the channels of
            its first convolution.

    Raises:
        BenchError: there is no max-pool, one that is dilated, for which there is no such average, or one that is called
            as a function; or the network does not take an image of that shape.
    """
    return _checked(_replaced(network, nn.MaxPool2d, _averaging, "max-pool"), POOLS, "max-pool", shape)


def with_drop_max(network: Network, shape: Shape | None = None) -> Network:
    """Replace every max-pool by a :class:`DropMaxPool2d` of the same window.

    Args:
        network, shape: as for :func:`with_average_pooling`.

    Raises:
        BenchError: there is no max-pool, one that is dilated, rounds sizes up or has a window of one value, or one that
            is called as a function; or the network does not take an image of that shape.
    """
    return _checked(_replaced(network, nn.MaxPool2d, _dropping, "max-pool"), POOLS, "max-pool", shape)


def with_bounded_relu(network: Network, bound: float, shape: Shape | None = None) -> Network:
    """Replace every ReLU by a :class:`BoundedReLU`; the weights remain fit to use where few activations exceed it.

    Args:
        network: holds ``nn.ReLU`` modules, or the ``nn.ReLU6`` of mobile networks, which keep their own bound of 6
            where that is the lower one.
        bound: t, in the unit of the activations; about 1 to 6 after batch normalisation.
        shape: as for :func:`with_average_pooling`.

    Raises:
        BenchError: there is no ReLU module, one is called as a function, the bound is not positive, or the network does
            not take an image of that shape.
    """

    def bounded(relu: nn.Module) -> nn.Module:
        return BoundedReLU(bound if isinstance(relu, nn.ReLU) else min(bound, SIX))

    return _checked(_replaced(network, (nn.ReLU, nn.ReLU6), bounded, "ReLU"), RELUS, "ReLU", shape)


def with_dual_batch_norm(network: Network) -> Network:
    """Double every batch normalisation; the copy uses its main statistics until :func:`use_statistics` says otherwise.

    Raises:
        BenchError: there is no batch normalisation, or one of other than maps, which would stay single.
    """
    if any(isinstance(module, _BatchNorm) and not isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        raise BenchError("only batch normalisation of maps (BatchNorm2d) can be doubled; the network has another kind.")
    return _replaced(network, nn.BatchNorm2d, DualBatchNorm2d, "batch normalisation")


def use_statistics(network: nn.Module, which: Statistics) -> None:
    """Say which half of every dual batch normalisation is used from now on, in place.

    Training takes "main" for clean and "auxiliary" for adversarial batches (:func:`statistics`). At test time AdvProp
    keeps the main half alone, for it seeks clean accuracy; the auxiliary half is the one that has learnt from attacked
    images, and that a defense deploys.

    Raises:
        BenchError: the network has no dual batch normalisation, or ``which`` is neither half.
    """
    if which not in ("main", "auxiliary"):
        raise BenchError(f"statistics must be 'main' or 'auxiliary', not '{which}'.")
    doubled = _doubled(network)
    if not doubled:
        raise BenchError("the network has no dual batch normalisation; make it with with_dual_batch_norm.")
    for module in doubled:
        module.used = which


@contextmanager
def statistics(network: nn.Module, which: Statistics) -> Iterator[None]:
    """Use one half of every dual batch normalisation in a block; a network without any is left as it is."""
    before = [(module, module.used) for module in _doubled(network)]
    for module, _ in before:
        module.used = which
    try:
        yield
    finally:
        for module, used in before:
            module.used = used


def with_single_batch_norm(network: Network, which: Statistics) -> Network:
    """Keep one half of every dual batch normalisation: a network of the first architecture, to be stored and deployed.

    Raises:
        BenchError: as :func:`use_statistics`.
    """
    chosen = copy.deepcopy(network)
    use_statistics(chosen, which)
    return _replaced(chosen, DualBatchNorm2d, lambda dual: getattr(dual, which), "dual batch normalisation")


def _doubled(network: nn.Module) -> list[DualBatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, DualBatchNorm2d)]


Kind = type[nn.Module] | tuple[type[nn.Module], ...]


def _replaced(network: Network, kind: Kind, make: Callable[[Any], nn.Module], name: str) -> Network:
    """Copy a network and replace each module of a kind, one that is used in several places by one and the same."""
    altered = copy.deepcopy(network)
    made: dict[int, nn.Module] = {}
    for parent in list(altered.modules()):
        # named_children would skip a second name of the same module.
        for place, child in list(parent._modules.items()):
            if isinstance(child, kind):
                if id(child) not in made:
                    made[id(child)] = make(child).train(child.training)
                setattr(parent, place, made[id(child)])
    if not made:
        raise BenchError(f"the network has no {name} module to replace.")
    return altered


class _Calls(TorchFunctionMode):
    """Takes note of the names of all functions that are called on tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def _checked(altered: Network, functions: frozenset[str], name: str, shape: Shape | None) -> Network:
    """Return an altered network that calls none of the functions which its new modules stand for.

    Raises:
        BenchError: it calls one, or does not take an image of that shape.
    """
    # A copy, so that no trial can leave a trace.
    tried = copy.deepcopy(altered).eval()
    first = next((module.in_channels for module in tried.modules() if isinstance(module, nn.Conv2d)), 1)
    like = next(tried.parameters(), torch.empty(0))
    image = torch.full((1, *(shape or (first, TRIED_SIZE, TRIED_SIZE))), 0.5, dtype=like.dtype, device=like.device)
    try:
        with torch.no_grad(), _Calls() as calls:
            tried(image)
    except (RuntimeError, ValueError, IndexError, BenchError) as error:
        raise BenchError(
            f"the altered network does not take an image of shape {tuple(image.shape[1:])}, with which it is tried "
            f"({str(error).partition(chr(10))[0]}); give shape=(channels, height, width) of one that it takes."
        ) from error
    left = calls.names & functions
    if left:
        raise BenchError(
            f"the network calls {min(left)} as a function, which surgery cannot replace, so some of its {name}s would "
            "stay; write them as modules."
        )
    return altered


def _averaging(pool: nn.MaxPool2d) -> nn.Module:
    _check_dilation(pool)
    # A border that counted as zeros would darken the edge of every map.
    return nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, count_include_pad=False)


def _dropping(pool: nn.MaxPool2d) -> nn.Module:
    _check_dilation(pool)
    if pool.ceil_mode:
        raise BenchError("a max-pool that rounds its output's size up cannot become a drop-max layer.")
    return DropMaxPool2d(_pair(pool.kernel_size), _pair(pool.stride), _pair(pool.padding))


def _check_dilation(pool: nn.MaxPool2d) -> None:
    if _pair(pool.dilation) != (1, 1):
        raise BenchError(f"a max-pool of dilation {pool.dilation} has no counterpart; use one of dilation 1.")


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
