"""State of the interpreter and of torch that any code may change for everybody after it."""

import gc
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn.modules import module as torch_module


@contextmanager
def restored() -> Iterator[None]:
    """Undo, on leaving, what code inside did to state that all entries share.

    Working folder, environment, import path, warning filters, standard streams; torch's default dtype, device, grad
    mode, number of threads, deterministic mode, backend switches, autocast, inference mode and hooks of all modules;
    the global random generators; limits of the interpreter. What an entry sets at import would otherwise reach the
    attacks and the next entry.
    """
    undo = [keep() for keep in _KEEPERS]
    try:
        yield
    finally:
        for back in undo:
            back()


def _folder() -> Callable[[], None]:
    before = os.getcwd()  # noqa: PTH109 (a plain text survives a folder that is gone)

    def back() -> None:
        if os.path.isdir(before):  # noqa: PTH112
            os.chdir(before)

    return back


def _environment() -> Callable[[], None]:
    before = dict(os.environ)

    def back() -> None:
        if dict(os.environ) != before:
            os.environ.clear()
            os.environ.update(before)

    return back


def _import_path() -> Callable[[], None]:
    before = sys.path, list(sys.path)

    def back() -> None:
        sys.path = before[0]
        sys.path[:] = before[1]

    return back


def _streams() -> Callable[[], None]:
    before = sys.stdout, sys.stderr, sys.stdin

    def back() -> None:
        sys.stdout, sys.stderr, sys.stdin = before

    return back


def _warnings() -> Callable[[], None]:
    before = list(warnings.filters)

    def back() -> None:
        if list(warnings.filters) != before:
            warnings.filters[:] = before  # type: ignore[index]

    return back


def _generators() -> Callable[[], None]:
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()

    def back() -> None:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])

    return back


def _torch() -> Callable[[], None]:
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    precision = torch.get_float32_matmul_precision()
    strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.enabled
    onednn = torch.backends.mkldnn.enabled

    def back() -> None:
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device == torch.device("cpu") else device)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_grad_enabled(grad)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.enabled = cudnn
        torch.backends.mkldnn.enabled = onednn
        torch.set_flush_denormal(False)

    return back


def _hooks() -> Callable[[], None]:
    """Hooks that torch calls for every module."""
    known = {name: hooks for name, hooks in vars(torch_module).items() if name.startswith("_global_")}
    before = {name: hooks.copy() if isinstance(hooks, dict) else hooks for name, hooks in known.items()}

    def back() -> None:
        for name, hooks in known.items():
            kept = before[name]
            if isinstance(hooks, dict):
                hooks.clear()
                hooks.update(kept)
            setattr(torch_module, name, hooks)

    return back


_held: list[object] = []
"""Guards of modes that somebody entered and never left; torch leaves a mode when its guard is collected."""


def _modes() -> Callable[[], None]:
    """Autocast, inference mode and anomaly detection."""
    cast = {kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")}
    cached = torch.is_autocast_cache_enabled()
    inference, anomaly = torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()

    def back() -> None:
        for kind, (enabled, dtype) in cast.items():
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, dtype)
        torch.set_autocast_cache_enabled(cached)
        if torch.is_inference_mode_enabled() != inference:
            guard = torch.inference_mode(inference)
            guard.__enter__()
            _held.append(guard)
        if torch.is_anomaly_enabled() != anomaly:
            torch.autograd.set_detect_anomaly(anomaly)

    return back


def _python() -> Callable[[], None]:
    """Recursion limit, garbage collection, numpy's error handling and the level below which nothing is logged."""
    limit, collects, level = sys.getrecursionlimit(), gc.isenabled(), logging.root.manager.disable
    errors = np.geterr()

    def back() -> None:
        sys.setrecursionlimit(limit)
        (gc.enable if collects else gc.disable)()
        logging.disable(level)
        np.seterr(**errors)

    return back


_KEEPERS = (
    *(_folder, _environment, _import_path, _streams, _warnings, _generators),
    # A mode is left before the switches are put back that it may have altered.
    *(_modes, _torch, _hooks, _python),
)
