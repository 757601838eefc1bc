"""RobustBench's architectures and its clean accuracy.

RobustBench 1.1.1 imports ``autoattack``, though the package that it depends on installs ``pyautoattack``. Its import
takes seconds (2500 modules), hence it happens at the first call and not with this module.
"""

import importlib
import importlib.util
import sys
from types import ModuleType

from torch import Tensor, nn

from benchmark.errors import BenchError, did_you_mean

_ARCHITECTURES = "robustbench.model_zoo.architectures"


def _import(name: str) -> ModuleType:
    """Import a module of RobustBench; ``autoattack`` stands for ``pyautoattack`` where it is not installed itself."""
    if "autoattack" not in sys.modules and importlib.util.find_spec("autoattack") is None:
        for part in ("", ".state"):
            sys.modules[f"autoattack{part}"] = importlib.import_module(f"pyautoattack{part}")
    return importlib.import_module(name)


def clean_accuracy(network: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 100) -> float:
    """Share of images, in [0, 1], whose highest logit is the true class (``robustbench.utils.clean_accuracy``).

    Args:
        network: maps (n, C, H, W) to logits (n, K); put it into eval mode first.
        images: (N, C, H, W) float32 in [0, 1], N >= 1.
        labels: (N,) int64.
        batch_size: images per forward pass.
    """
    return float(_import("robustbench.utils").clean_accuracy(network, images, labels, batch_size))


def architecture(name: str, **options: object) -> nn.Module:
    """Build one of RobustBench's architectures, untrained.

    Where the architecture normalises its inputs (such as ``dm_wide_resnet.DMWideResNet`` with ``mean`` and ``std``)
    that stays inside it: the network takes images in [0, 1], as a :class:`benchmark.defense.Defense` wants it.

    Args:
        name: module and class below ``robustbench.model_zoo.architectures``, such as ``wide_resnet.WideResNet``.
        options: arguments of the class. Most take three channels, and pool for the size that they were made for.

    Raises:
        BenchError: there is no such architecture, or it refuses the options.
    """
    file, _, kind = name.partition(".")
    folder = _import(_ARCHITECTURES).__path__[0]
    if not file.isidentifier() or importlib.util.find_spec(f"{_ARCHITECTURES}.{file}") is None:
        raise BenchError(
            f"robustbench has no module of architectures '{file}' in {folder}; "
            "name module and class, such as 'wide_resnet.WideResNet'."
        )
    module = _import(f"{_ARCHITECTURES}.{file}")
    known = {
        key: value for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)
    }
    if kind not in known:
        raise BenchError(f"robustbench's {file} has no architecture '{kind}'.{did_you_mean(kind, known)}")
    try:
        network: nn.Module = known[kind](**options)
    except (TypeError, ValueError, AssertionError) as error:
        raise BenchError(
            f"robustbench's {name} refuses the options {options}: {error or type(error).__name__}; correct them."
        ) from error
    return network
