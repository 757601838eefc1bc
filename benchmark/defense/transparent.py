"""A defense seen through: what stands between an image and the scores inside is passed as if it let gradients through.

An attacker who owns the deployed system runs its code as they like: nothing is detached, ``no_grad`` and hooks are
ignored, functions with a backward pass of their own are differentiated as they compute, and rounding is passed as the
identity (BPDA). So scores are found wherever they are computed, in a module or not, and attacked there.
"""

import copy
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from benchmark.defense.defense import Defense, rows_per_pass
from benchmark.defense.stage import Backward
from benchmark.randomness import Randomness, content_seed

MOST = 6
"""Places at most where scores are attacked: those that agree best with what is decided."""

LOOKED_AT = 48
"""Heads at most whose gradient is looked at."""

SAME_WAY = 0.999
"""Cosine from which two gradients are the same: probabilities lead where their logits do."""

MUCH_ALIKE = 0.5
"""Usual cosine from which two of them are attacks on one and the same network."""


@dataclass(frozen=True)
class Way:
    """How a defense is looked through.

    Args:
        opens: whether what is detached keeps its gradient. An author who detaches the difference of a value and its
            stand-in means the gradient to pass the stand-in, and is best left alone.
        casts: whether what is made a whole number is passed as a rounding; it stays a float then, which an index may
            not be.
        alone: whether the defense decides on one image at a time, for what it computes image by image.
    """

    opens: bool
    casts: bool
    alone: bool = False


_UNWATCHED = torch._C.DisableTorchFunction

_OPEN = {torch.detach, Tensor.detach, Tensor.detach_, Tensor.data.__get__}  # type: ignore[attr-defined]
_ROUNDING = {
    getattr(place, name)
    for place in (torch, Tensor)
    for name in (
        *("round", "floor", "ceil", "trunc", "fix", "sign", "heaviside", "sgn"),
        *("floor_divide", "__floordiv__"),
    )
    if hasattr(place, name)
}
_GRAD_FN, *_FLAGS = (getattr(Tensor, name).__get__ for name in ("grad_fn", "requires_grad", "is_leaf"))
_TELLS_GRADIENTS = {_GRAD_FN, *_FLAGS}
_TO_NUMPY: set[Any] = {Tensor.numpy, Tensor.__array__}
_FROM_ELSEWHERE = {torch.tensor, torch.as_tensor}
_OF_WHOLE = {
    getattr(place, name)
    for place in (torch, Tensor)
    for name in (
        *("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift"),
        *("__and__", "__or__", "__xor__", "__lshift__", "__rshift__"),
    )
    if hasattr(place, name)
}
_TO_WHOLE = {Tensor.byte, Tensor.short, Tensor.int, Tensor.long}
_WHOLE = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}


class _SeenThrough(TorchFunctionMode):
    """Records the scores that are computed from the images, while nothing hides them.

    Args:
        rows: images in the batch.
        classes: K.
        way: how to look.
    """

    def __init__(self, rows: int, classes: int, way: Way) -> None:
        super().__init__()
        self._shape = (rows, classes)
        self._single = {(rows,), (rows, 1)} if classes == 2 else set()
        self._way = way
        self.images: Tensor | None = None
        """What the decision began with."""
        self.seen: list[Tensor] = []
        """All of them, in the order of their computation."""
        self._met: list[Tensor] = []
        self.heads: list[int] = []
        """Places of those that are not computed from others."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args and isinstance(args[0], Tensor) and args[0].requires_grad else None
        # A deployed system decides without gradients, and may look whether there are any.
        if func in _TELLS_GRADIENTS:
            return None if func is _GRAD_FN else False
        if first is not None:
            if func in _OPEN and self._way.opens:
                return first
            if func in _TO_NUMPY:
                return func(first.detach(), *args[1:], **kwargs)
            if func is Tensor.requires_grad_:
                return first
            if self._way.casts and _makes_whole(func, args, kwargs):
                return _passed(first, first.detach().trunc())
            if self._way.casts and func in _OF_WHOLE:
                return _passed(first, func(first.detach().long(), *args[1:], **kwargs).to(first.dtype))
        told = func(*args, **kwargs)
        if func in _FROM_ELSEWHERE:
            told = self.came_back(told)
        if func in _ROUNDING and first is not None and isinstance(told, Tensor):
            told = _passed(first, told)
        self._note(told, args)
        return told

    def came_back(self, told: Any) -> Any:
        """Images that return from outside of torch, for which the identity stands in."""
        images = self.images
        if images is None or not isinstance(told, Tensor) or told.shape != images.shape or not told.is_floating_point():
            return told
        return _passed(images, told)

    def _note(self, told: object, args: Any) -> None:
        if not isinstance(told, Tensor) or not told.requires_grad or not told.is_floating_point():
            return
        single = told.shape in self._single
        if not (single or told.shape == self._shape) or any(told is other for other in self._met):
            return
        self._met.append(told)
        if not any(isinstance(given, Tensor) and given.shape == told.shape for given in _flat(args)):
            self.heads.append(len(self.seen))
        # One score of two classes: it rises with the second.
        self.seen.append(torch.stack([-told.reshape(-1), told.reshape(-1)], dim=1) if single else told)


def _flat(args: Any) -> Iterator[Any]:
    for given in args:
        if isinstance(given, (list, tuple)):
            yield from given
        else:
            yield given


def _makes_whole(func: Any, args: Any, kwargs: Any) -> bool:
    if func in _TO_WHOLE:
        return True
    asked = [*args[1:], *kwargs.values()]
    return func in (Tensor.to, Tensor.type) and any(isinstance(one, torch.dtype) and one in _WHOLE for one in asked)


def _passed(images: Tensor, value: Tensor) -> Tensor:
    """The value, with the gradient of the identity."""
    with _UNWATCHED():
        return images + (value - images).detach()


class _Context:
    """Stands in for what a function of the author's own keeps for its backward pass, which nobody takes."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Any, ...] = ()
        self.needs_input_grad = (True,) * 16

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def _nothing(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    save_for_forward = mark_dirty = mark_non_differentiable = set_materialize_grads = _nothing


def _as_computed(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a function with its own backward pass by its forward pass alone."""
    with_context = "ctx" in list(inspect.signature(cls.forward).parameters)[:1] or not _sets_up(cls)
    told = cls.forward(_Context(), *args, **kwargs) if with_context else cls.forward(*args, **kwargs)
    first = next((one for one in args if isinstance(one, Tensor) and one.requires_grad), None)
    if first is None or not isinstance(told, Tensor) or told.requires_grad or told.shape != first.shape:
        return told
    # Computed by other means than torch's: as an attacker would, take it for the identity where it may be one.
    return _passed(first, told) if told.is_floating_point() else told


def _sets_up(cls: Any) -> bool:
    return cls.setup_context is not torch.autograd.Function.setup_context


@contextmanager
def _nothing_hidden() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        no_switch: Callable[..., None] = lambda *_: None  # noqa: E731
        for place, name, instead in (
            (torch._C, "_set_grad_enabled", no_switch),
            (torch._C, "DisableTorchFunction", nullcontext),
            (torch._C, "DisableTorchFunctionSubclass", nullcontext),
            (torch, "is_grad_enabled", lambda: False),
            # A mode sees only what its own thread does.
            (threading.Thread, "start", lambda thread: thread.run()),
            (threading.Thread, "join", no_switch),
            (ThreadPoolExecutor, "submit", _done),
            (torch.inference_mode, "__enter__", no_switch),
            (torch.inference_mode, "__exit__", no_switch),
            (Tensor, "register_hook", lambda *_: RemovableHandle(OrderedDict())),
            (torch.autograd.Function, "apply", classmethod(_as_computed)),
            # A defense that takes gradients itself must leave the graph to the attacker.
            (torch.autograd, "grad", partial(torch.autograd.grad, retain_graph=True)),
            (nn.Module, "_get_backward_hooks", lambda _: ([], [])),
            (nn.Module, "_get_backward_pre_hooks", lambda _: []),
        ):
            stack.enter_context(patch.object(place, name, instead))
        yield


def _done(_: ThreadPoolExecutor, work: Callable[..., Any], *args: Any, **kwargs: Any) -> "Future[Any]":
    """Do what was given to another thread at once."""
    future: Future[Any] = Future()
    try:
        future.set_result(work(*args, **kwargs))
    except BaseException as error:
        future.set_exception(error)
    return future


class SeenThrough(Defense):
    """A defense whose differentiable logits are the scores computed at one place inside.

    Args:
        defense: which.
        place: number of the scores among all that it computes; the last where there are fewer.
        way: how to look.
        turned: whether the scores fall where they should rise.
    """

    def __init__(self, defense: Defense, place: int, way: Way, turned: bool = False) -> None:
        nn.Module.__init__(self)
        alone = copy.copy(defense)
        # Each pass is one copy: an attacker averages over them.
        alone.vote = None
        self._whole, self._place, self._way, self._turned = (alone,), place, way, turned
        self.num_classes = defense.num_classes
        self.stages = nn.ModuleList()
        self.vote = None
        self.feature_layers = ()
        self.eval()

    @property
    def stochastic(self) -> bool:
        """As the defense."""
        return self._whole[0].stochastic

    def adaptive_logits(self, images: Tensor, draw: Randomness, copies: int, backward: Backward = "declared") -> Tensor:
        """As :meth:`Defense.adaptive_logits`."""
        copies = copies if self.stochastic else 1
        rows = images.repeat_interleave(copies, dim=0)
        seeds = [content_seed(seed, "copy", one) for seed in draw.seeds for one in range(copies)]
        each = draw.seeded(seeds if self.stochastic else draw.seeds)
        told = torch.cat(
            [
                self._scores(rows[part[0] : part[-1] + 1], each.take(part))
                for part in torch.split(torch.arange(len(rows)), 1 if self._way.alone else rows_per_pass(rows))
            ]
        )
        return told.reshape(len(images), copies, -1).transpose(0, 1)

    def _scores(self, rows: Tensor, draw: Randomness) -> Tensor:
        seen = scores(self._whole[0], rows, draw, self._way).seen
        if not seen:
            return rows.new_zeros(len(rows), self.num_classes)
        told = seen[min(self._place, len(seen) - 1)]
        told = told.clamp_min(1e-30).log() if _shares(told.detach()) else told
        return -told if self._turned else told


def _shares(told: Tensor) -> bool:
    """Whether scores are probabilities, whose margin saturates."""
    return bool((told >= 0).all()) and bool(((told.sum(dim=1) - 1).abs() < 1e-3).all())


def scores(defense: Defense, images: Tensor, draw: Randomness, way: Way) -> _SeenThrough:
    """All scores that a decision computes from images (N, C, H, W), with the way back to them.

    Raises:
        Exception: whatever the defense raises.
    """
    inside = _SeenThrough(len(images), defense.num_classes, way)
    if not images.requires_grad:
        images = images.detach().requires_grad_()
    from_numpy = torch.from_numpy
    with _nothing_hidden(), patch.object(torch, "from_numpy", lambda array: inside.came_back(from_numpy(array))):
        # No leaf: a defense may write into its images.
        inside.images = images * 1.0
        with inside:
            defense.predict(inside.images, draw)
    return inside


def seen_through(defense: Defense, images: Tensor, known: Sequence[Defense] = ()) -> list[SeenThrough]:
    """The places inside a defense at which its scores can be attacked, heads of networks first.

    A place with the gradient that the defense declares is left out, as the usual attacks follow that one.

    Args:
        defense: which.
        images: (N, C, H, W) float32 in [0, 1], a few that the defense is looked at with.
        known: what else of it is attacked; a place with the same gradient is left out too.
    """
    alone = copy.copy(defense)
    alone.vote = None
    draw = Randomness(range(len(images)), images.device)
    try:
        label = alone.predict(images, draw.restarted()).label
    except Exception:
        return []
    slopes = [slope for slope in (slope_of(alone, images),) if slope is not None]
    others = [slope for slope in (slope_of(one, images) for one in known) if slope is not None]
    met: list[tuple[float, SeenThrough]] = []
    for each in (False, True):
        for opens in (True, False):
            for casts in (True, False):
                way = Way(opens, casts, each)
                try:
                    led = list(_led(alone, images, way, draw))
                except Exception:
                    continue
                for place, told, slope in led:
                    same = any(bool(_agreement(slope, other).min() > SAME_WAY) for other in slopes)
                    # These are no promise of the author's: where stages clip their images, two gradients may differ.
                    alike = any(bool(_agreement(slope, other).median() > MUCH_ALIKE) for other in others)
                    if not same and not alike:
                        right = float((told.argmax(dim=1) == label).float().mean())
                        turned = told.shape[1] == 2 and right < 0.5
                        met.append(
                            (max(right, 1 - right) if turned else right, SeenThrough(defense, place, way, turned))
                        )
                        slopes.append(slope)
                break
        # What is computed image by image hides behind a batch; it takes as many passes as there are images.
        if any(right == 1 for right, _ in met) or others:
            break
    met.sort(key=lambda one: -one[0])
    return [inside for _, inside in met[:MOST]]


def slope_of(defense: Defense, images: Tensor) -> Tensor | None:
    """Direction (N, D) of the gradient that a defense gives its attackers; None where it gives none."""
    leaf = images.detach().requires_grad_()
    try:
        with torch.enable_grad():
            told = defense.adaptive_logits(leaf, Randomness(range(len(images)), images.device), 1)[0]
            return _slope(told, leaf)
    except Exception:
        return None


def _led(defense: Defense, images: Tensor, way: Way, draw: Randomness) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Places from which a gradient leads to the images, the heads of networks first: scores and direction."""
    leaf = images.detach().requires_grad_()
    parts = [
        scores(defense, leaf[part[0] : part[-1] + 1], draw.restarted().take(part), way)
        for part in torch.split(torch.arange(len(images)), 1 if way.alone else len(images))
    ]
    count = min(len(part.seen) for part in parts)
    seen = [torch.cat([part.seen[place] for part in parts]) for place in range(count)]
    heads = [place for place in parts[0].heads if place < count]
    ranks = [_ranks(seen[place]) for place in heads]
    # What only softens or sharpens scores adds nothing to them.
    others = [place for place in range(count) if place not in heads]
    others = [place for place in others if not any(torch.equal(_ranks(seen[place]), rank) for rank in ranks)]
    for place in (*heads[:LOOKED_AT], *others[-1:]):
        slope = _slope(seen[place], leaf)
        if slope is not None:
            yield place, seen[place].detach(), slope


def _slope(told: Tensor, leaf: Tensor) -> Tensor | None:
    """Gradient (N, D) of the first score's margin, of length 1 or 0; None where there is none anywhere."""
    if not bool(told.detach().isfinite().all()):
        return None
    margin = told[:, 0] - told[:, 1:].mean(dim=1)
    slope: Tensor | None = torch.autograd.grad(margin.sum(), leaf, retain_graph=True, allow_unused=True)[0]
    if slope is None or not bool(slope.isfinite().all()) or not bool((slope != 0).any()):
        return None
    rows = slope.flatten(1)
    rows = rows / rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-30)
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return unit


def _ranks(told: Tensor) -> Tensor:
    return told.detach().argsort(dim=1, stable=True)


def _agreement(slope: Tensor, other: Tensor) -> Tensor:
    """Cosine of two gradients, (n,), at the images at which the first leads anywhere."""
    return (slope * other).sum(dim=1)[(slope != 0).any(dim=1)]
