"""Weight files: safetensors only, checked before use; those that we train in half precision on disk."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor, nn

from benchmark.errors import BenchError
from benchmark.files import LFS_POINTER, is_lfs_pointer, write_atomically
from benchmark.submission.prefixes import matching_prefixes

MAX_BYTES = 3 * 1024 * 1024
"""Largest weight file of a shipped baseline."""

Network = TypeVar("Network", bound=nn.Module)


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def to_bytes(network: nn.Module) -> bytes:
    """Serialise a state dict as safetensors, floating point values rounded to half precision."""
    return state_bytes(network.state_dict(), half=True)


def state_bytes(state: Mapping[str, Tensor], half: bool = False) -> bytes:
    """Serialise tensors by name as safetensors; tensors that share memory are written out each.

    Args:
        state: dense tensors of any layout and device.
        half: round floating point values to half precision.
    """
    # safetensors refuses tensors that share memory, as tied layers do, and those with gaps: each gets its own.
    return save_bytes(
        {
            name: (value.half() if half and value.is_floating_point() else value)
            .detach()
            .cpu()
            .clone(memory_format=torch.contiguous_format)
            for name, value in state.items()
        }
    )


def save_weights(network: nn.Module, path: Path) -> str:
    """Write a weight file atomically and return its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = to_bytes(network)
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def read_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a safetensors file into float32 tensors.

    Raises:
        BenchError: missing file, a Git LFS pointer, wrong checksum, not safetensors, or a value that is not finite.
    """
    if not path.is_file():
        raise BenchError(f"weight file {path} is missing; restore it or retrain it with 'bench train'.")
    content = path.read_bytes()
    if is_lfs_pointer(content):
        raise BenchError(f"weight file {path} {LFS_POINTER}.")
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise BenchError(
            f"weight file {path} has sha256 {found}, but the manifest says {sha256}; "
            "restore the file or correct the manifest and raise its revision."
        )
    try:
        state = load_bytes(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BenchError(
            f"weight file {path} is not a safetensors file ({error}); "
            "write it with safetensors.torch.save_file(model.state_dict(), ...)."
        ) from None
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BenchError(
                f"weight file {path}: tensor '{name}' holds values that are not finite; retrain the model."
            )
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def load_into(network: Network, state: dict[str, Tensor], source: str) -> Network:
    """Load a state dict and return the network in eval mode.

    Raises:
        BenchError: tensors are missing, unknown or of another shape.
    """
    own = network.state_dict()
    missing, unknown = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or unknown:
        _refuse_prefix(state, own, source)
        what = f"lacks '{missing[0]}'" if missing else f"holds unknown '{unknown[0]}'"
        raise BenchError(
            f"{source} {what} ({len(missing)} tensors missing, {len(unknown)} unknown for this architecture); "
            "build the architecture that the weights were trained with."
        )
    for name, value in sorted(state.items()):
        if value.shape != own[name].shape:
            raise BenchError(
                f"{source}: tensor '{name}' has shape {tuple(value.shape)}, the architecture needs "
                f"{tuple(own[name].shape)}; build the architecture that the weights were trained with."
            )
    network.load_state_dict(state)
    return network.eval()


def _refuse_prefix(names: Collection[str], own: Collection[str], source: str) -> None:
    """Name the prefix, as a wrapper of the network leaves it, where that is all that keeps a file from fitting."""
    for longer, shorter, told in (
        (names, own, "the names of its tensors begin with '{}' and those of the architecture do not"),
        (own, names, "the names of its tensors lack the '{}' with which those of the architecture begin"),
    ):
        prefix = next(iter(matching_prefixes(longer, shorter)), "")
        if prefix and all(name.startswith(prefix) for name in longer):
            raise BenchError(
                f"{source}: {told.format(prefix)}; rename them with "
                f"'bench import-weights {source} SUBMISSION --overwrite', which keeps the old file beside the new one."
            )
