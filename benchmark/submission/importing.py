"""``bench import-weights``: somebody's checkpoint as an entry's weight file."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from benchmark.data.card import Card
from benchmark.errors import BenchError
from benchmark.submission.checkpoint import Checkpoint, read_checkpoint
from benchmark.submission.entry import Entry
from benchmark.submission.fitting import Fit, by_usual_names, fitted
from benchmark.submission.manifest import read_manifest
from benchmark.submission.placing import check_writable, clear_companions, sha256_at, write_weights
from benchmark.submission.records import is_untrained
from benchmark.submission.registration import register_weights, registered
from benchmark.submission.weights import state_bytes

_AS_THEY_ARE = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Floating point types that every reader of safetensors knows; smaller ones are widened."""


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        weights: the weight file of the entry.
        sha256: of the weight file, as the manifest has it now.
        kept: copies of the files that it replaced.
        fit: which tensors they are.
        others: what else the checkpoint holds, by its keys.
        unmatched: why the names were not compared with those of the entry's network; empty where they were.
        unbuilt: why the entry cannot be built with the weights; empty where it was built.
    """

    weights: Path
    sha256: str
    kept: tuple[Path, ...]
    fit: Fit
    others: tuple[str, ...]
    unmatched: str
    unbuilt: str


def import_weights(
    entry: Entry, card: Card, source: Path, key: str | None = None, half: bool = False, overwrite: bool = False
) -> Imported:
    """Write the network of a checkpoint as an entry's weight file for a data set, and enter it in the manifest.

    The tensors keep their precision: to round them is to change somebody's model.

    Args:
        entry: the entry.
        card: the data set's card.
        source: a state dict or checkpoint of PyTorch, or a safetensors file.
        key: where in the file the network lies, where that is not plain.
        half: round floating point values to half precision.
        overwrite: replace an existing weight file; a copy is kept beside it. A scaffold's untrained one needs no leave.

    Raises:
        BenchError: the checkpoint is none, does not fit the entry's network or holds what no weight file can, a weight
            file exists already, or the manifest cannot take it; the entry is as it was.
    """
    file = _file(entry, card.name)
    target = entry.folder / file
    registered(entry.folder, card.name, file, "0" * 64)
    check_writable(target)
    checkpoint = read_checkpoint(source)
    fit, unmatched = _fit(entry, card, checkpoint.under(key) if key else checkpoint, source, asked=key is not None)
    content = state_bytes({name: _storable(source, name, value, half) for name, value in fit.tensors.items()}, half)

    def untrained(sha256: str) -> bool:
        return is_untrained(target, sha256)

    found = sha256_at(target)
    if found is not None and not overwrite and not untrained(found) and target.read_bytes() != content:
        raise BenchError(
            f"{target} exists already; give --overwrite to replace it, which keeps the old file beside the new one."
        )
    written = write_weights(target, content, found, untrained)
    if written.path != target:
        raise BenchError(
            f"{target} became another file during the import and was left as it is; the imported weights are in "
            f"{written.path}: move them there if they are the ones that you want."
        )
    kept = written.kept + (clear_companions(written) if written.replaced != written.sha256 else ())
    register_weights(entry.folder, card.name, file, written.sha256)
    return Imported(target, written.sha256, kept, fit, checkpoint.others, unmatched, _unbuilt(entry.folder, card))


def _file(entry: Entry, dataset: str) -> str:
    """The weight file that the manifest names for the data set and for no other, else the usual one."""
    weights = entry.manifest.weights
    others = {PurePosixPath(named.file) for name, named in weights.items() if name != dataset}
    if dataset in weights and weights[dataset].file and PurePosixPath(weights[dataset].file) not in others:
        return weights[dataset].file
    return f"weights/{dataset}.safetensors"


def _fit(entry: Entry, card: Card, checkpoint: Checkpoint, source: Path, asked: bool) -> tuple[Fit, str]:
    """The checkpoint's network, and why it was not compared with the entry's."""
    try:
        network = entry.network(card)
    except BenchError as error:
        return by_usual_names(checkpoint, str(source), asked), str(error)
    return fitted(checkpoint, network.state_dict(), str(source), asked), ""


def _storable(source: Path, name: str, value: Tensor, half: bool) -> Tensor:
    """The tensor as a weight file can hold it.

    Raises:
        BenchError: no weight file can.
    """
    what = _unstorable(value)
    if what:
        raise BenchError(f"{source}: tensor '{name}' {what}.")
    try:
        dense = value.detach()
        if not dense.is_floating_point():
            return dense
        if dense.dtype not in _AS_THEY_ARE:
            dense = dense.float()
        stored = dense.half() if half else dense.float()
        finite, fits = bool(torch.isfinite(dense).all()), bool(torch.isfinite(stored).all())
    except (RuntimeError, NotImplementedError, TypeError) as error:
        raise BenchError(
            f"{source}: tensor '{name}' of type {value.dtype} cannot be read ({str(error).splitlines()[0]}); "
            "save it as plain float32."
        ) from None
    if not finite:
        raise BenchError(f"{source}: tensor '{name}' holds values that are not finite; take another checkpoint.")
    if not fits:
        raise BenchError(
            f"{source}: tensor '{name}' holds values beyond {'half' if half else 'single'} precision; "
            f"{'import without --half' if half else 'train the model in single precision'}."
        )
    return dense


def _unstorable(value: Tensor) -> str:
    """What kind of tensor it is that no weight file can hold, and what to do, as a clause; empty for all others."""
    if value.is_quantized:
        return "is quantised; save the model as it was before quantisation"
    if value.layout != torch.strided or value.is_nested:
        return "is sparse or nested; save it dense, with value.to_dense()"
    if value.is_complex():
        return "is complex, which weight files cannot hold; save its real and imaginary parts"
    if value.is_meta:
        return "has a shape but no values (device 'meta'); save the model after its weights are loaded"
    return ""


def _unbuilt(folder: Path, card: Card) -> str:
    """Build the entry as an evaluation will; returns what keeps it from being built."""
    try:
        Entry(folder, read_manifest(folder)).build(card)
    except BenchError as error:
        return str(error)
    return ""
