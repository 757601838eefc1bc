"""Undo what a question leaves behind in a defense: behaviour that depends on how often it was asked buys nothing."""

from collections import deque
from collections.abc import Callable
from logging import Logger
from operator import is_
from types import FunctionType, MethodType, ModuleType, TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_MACHINERY = frozenset(vars(nn.Module())) - {"_parameters", "_buffers", "_modules"}
"""Attributes of every module in which a defense has no business: its hooks, nine empty containers to look into."""


class Rollback:
    """Remembers a module's state and restores it whenever a ``with`` block over this object ends.

    A defense that counts its questions, or remembers the images that it was asked about, therefore answers each
    question as if it were the first. Restored are attributes, containers, tensors and arrays, at any depth, on the
    module itself; nothing is copied as long as nothing changes. What lives elsewhere (globals, class attributes,
    closures, files) is out of reach, and so are a parameter written to behind autograd's back (``parameter.data``) and
    objects whose state Python does not show (iterators, ``bytearray``, generators of random numbers).

    Args:
        module: in the state to keep. Between the blocks its owner may move it to another device, but not change it.
    """

    def __init__(self, module: nn.Module) -> None:
        self._undo: list[Callable[[], None]] = []
        self._seen: dict[int, Any] = {}
        waiting: list[Any] = [module]
        while waiting:
            waiting += self._remember(waiting.pop())

    def __enter__(self) -> None:
        """Begin a question."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the state, also after an error."""
        self.restore()

    def restore(self) -> None:
        """Restore the state."""
        for undo in self._undo:
            undo()

    def _remember(self, thing: Any) -> list[Any]:
        """Note how to restore one object and return what it refers to."""
        if isinstance(thing, str | int | float | type(None)) or id(thing) in self._seen:
            return []
        self._seen[id(thing)] = thing
        if isinstance(thing, Tensor):
            self._undo.append(_tensor(thing))
            return []
        if isinstance(thing, np.ndarray):
            self._undo.append(_array(thing))
            return []
        if isinstance(thing, dict):
            self._undo.append(_mapping(thing))
            return list(thing.values())
        if isinstance(thing, list | deque):
            self._undo.append(_sequence(thing))
            return list(thing)
        if isinstance(thing, set):
            self._undo.append(_set(thing))
            return []
        if isinstance(thing, tuple):
            return list(thing)
        if isinstance(thing, MethodType):
            return [thing.__self__]
        attributes = getattr(thing, "__dict__", None)
        if not isinstance(attributes, dict) or isinstance(thing, FunctionType | ModuleType | Logger):
            return []
        self._seen[id(attributes)] = attributes
        self._undo.append(_mapping(attributes))
        skipped = _MACHINERY if isinstance(thing, nn.Module) else frozenset[str]()
        return [value for name, value in attributes.items() if name not in skipped]


def _mapping(thing: dict[Any, Any]) -> Callable[[], None]:
    kept, count = tuple(thing.items()), len(thing)
    keys, values = tuple(thing), tuple(thing.values())

    def undo() -> None:
        if len(thing) != count or not (all(map(is_, thing.values(), values)) and all(map(is_, thing, keys))):
            thing.clear()
            thing.update(kept)

    return undo


def _sequence(thing: "list[Any] | deque[Any]") -> Callable[[], None]:
    kept = tuple(thing)

    def undo() -> None:
        if len(thing) != len(kept) or not all(map(is_, thing, kept)):
            thing.clear()
            thing.extend(kept)

    return undo


def _set(thing: set[Any]) -> Callable[[], None]:
    kept = frozenset(thing)

    def undo() -> None:
        if thing != kept:
            thing.clear()
            thing.update(kept)

    return undo


def _tensor(thing: Tensor) -> Callable[[], None]:
    kept, version = thing.detach().clone(), thing._version

    # Comparing all parameters would cost a large network dearly; the rest is small, and '.data' raises no version.
    small = not isinstance(thing, nn.Parameter)

    def undo() -> None:
        nonlocal version
        if thing._version != version or (small and not torch.equal(thing, kept)):
            with torch.no_grad():
                thing.copy_(kept)
            version = thing._version

    return undo


def _array(thing: NDArray[Any]) -> Callable[[], None]:
    kept = thing.copy()

    def undo() -> None:
        if not np.array_equal(thing, kept):
            thing[...] = kept

    return undo
