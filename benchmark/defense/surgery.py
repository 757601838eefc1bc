"""Feature enhancement (survey, section 4.6): networks altered inside rather than images before them.

Every function takes a network and returns an altered copy; the one given stays as it was. Only layers that are modules
are found (``nn.ReLU()``, not ``torch.relu``), wherever they sit.
"""

import copy
from collections.abc import Callable
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.errors import BenchError

Network = TypeVar("Network", bound=nn.Module)
Statistics = Literal["main", "auxiliary"]


class BoundedReLU(nn.Module):
    """min(max(x, 0), t): a perturbation cannot grow without end on its way (Zantedeschi et al. 2017, section 4.1).

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


def with_average_pooling(network: Network) -> Network:
    """Replace every max-pool by an average pool of the same window (Taghanaki et al. 2018, survey section 4.6).

    Raises:
        BenchError: there is no max-pool, or a dilated one, for which there is no such average.
    """
    return _replaced(network, nn.MaxPool2d, _averaging, "max-pool")


def with_drop_max(network: Network) -> Network:
    """Replace every max-pool by a :class:`DropMaxPool2d` of the same window.

    Raises:
        BenchError: there is no max-pool, or one that is dilated, rounds sizes up or has a window of one value.
    """
    return _replaced(network, nn.MaxPool2d, _dropping, "max-pool")


def with_bounded_relu(network: Network, bound: float) -> Network:
    """Replace every ReLU by a :class:`BoundedReLU`; the weights remain fit to use where few activations exceed it.

    Args:
        network: holds ``nn.ReLU`` modules, among them the ReLU6 of mobile networks only where it is written as one.
        bound: t, in the unit of the activations; about 1 to 6 after batch normalisation.

    Raises:
        BenchError: there is no ReLU module, or the bound is not positive.
    """
    return _replaced(network, nn.ReLU, lambda _: BoundedReLU(bound), "ReLU")


def with_dual_batch_norm(network: Network) -> Network:
    """Double every batch normalisation; the copy uses its main statistics until :func:`use_statistics` says otherwise.

    Raises:
        BenchError: there is no batch normalisation.
    """
    return _replaced(network, nn.BatchNorm2d, DualBatchNorm2d, "batch normalisation")


def use_statistics(network: nn.Module, which: Statistics) -> None:
    """Say which half of every dual batch normalisation is used from now on, in place.

    Training takes "main" for clean and "auxiliary" for adversarial batches. At test time AdvProp keeps the main half
    alone, for it seeks clean accuracy; the auxiliary half is the one that has learnt from attacked images.

    Raises:
        BenchError: the network has no dual batch normalisation, or ``which`` is neither half.
    """
    if which not in ("main", "auxiliary"):
        raise BenchError(f"statistics must be 'main' or 'auxiliary', not '{which}'.")
    doubled = [module for module in network.modules() if isinstance(module, DualBatchNorm2d)]
    if not doubled:
        raise BenchError("the network has no dual batch normalisation; make it with with_dual_batch_norm.")
    for module in doubled:
        module.used = which


def with_single_batch_norm(network: Network, which: Statistics) -> Network:
    """Keep one half of every dual batch normalisation: a network of the first architecture, to be stored and deployed.

    Raises:
        BenchError: as :func:`use_statistics`.
    """
    chosen = copy.deepcopy(network)
    use_statistics(chosen, which)
    return _replaced(chosen, DualBatchNorm2d, lambda dual: getattr(dual, which), "dual batch normalisation")


Module = TypeVar("Module", bound=nn.Module)


def _replaced(network: Network, kind: type[Module], make: Callable[[Module], nn.Module], name: str) -> Network:
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
