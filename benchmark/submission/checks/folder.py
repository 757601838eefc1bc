"""Checks that need no model: the folder's files and the weight files."""

from collections.abc import Sequence
from pathlib import Path

from benchmark.data.card import Card
from benchmark.errors import BenchError
from benchmark.submission.checks.finding import Finding, failed, ok, skipped, warning
from benchmark.submission.manifest import Manifest, weights_path
from benchmark.submission.snapshot import snapshot
from benchmark.submission.weights import MAX_BYTES, read_weights
from benchmark.task.kinds import KINDS

_PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5", ".npy", ".npz"}
"""Endings of weight files that are refused: most can run code when they are loaded."""


def contents(folder: Path, manifest: Manifest) -> Finding:
    """Nothing that points elsewhere, no weights but safetensors, nothing that the manifest forgets."""
    shots = []
    try:
        shots = [snapshot(folder, manifest, dataset) for dataset in manifest.datasets]
    except BenchError as error:
        return failed(str(error))
    places = sorted({place for shot in shots for place in shot.files})
    for place in places:
        if Path(place).suffix.lower() in _PICKLES:
            return failed(
                f"{place} is a {Path(place).suffix} file, but only safetensors are loaded; convert it with "
                "'bench import-weights' and remove it."
            )
    named = {Path(weights.file).as_posix() for weights in manifest.weights.values() if weights.file}
    borrowed = {f"weights/{dataset}.safetensors" for dataset, weights in manifest.weights.items() if weights.entry}
    stray = [place for place in places if place.endswith(".safetensors") and place not in named | borrowed]
    if stray:
        return warning(f"{stray[0]} is named by no [weights] table of the manifest; name it or remove it.")
    if not (folder / "README.md").is_file():
        return warning("there is no README.md; add one that says how the weights were made.")
    return ok(f"{len(places)} deployed files")


def datasets(manifest: Manifest, cards: Sequence[Card]) -> Finding:
    """The manifest's task fits the data sets."""
    for card in cards:
        expected = KINDS[card.task].entry
        if manifest.task != expected:
            return failed(
                f"task is '{manifest.task}' but data set '{card.name}' is for {expected}; correct task or datasets."
            )
    return ok()


def weights(folder: Path, manifest: Manifest, card: Card) -> Finding:
    """The weight file is there, is safetensors, has the manifest's sha256 and finite values."""
    named = manifest.weights.get(card.name)
    if named is None:
        return skipped(f"the manifest names no weights for '{card.name}'")
    try:
        path = weights_path(folder, manifest, card.name)
        state = read_weights(path, named.sha256)
    except BenchError as error:
        return failed(str(error))
    size = path.stat().st_size
    if manifest.baseline and size > MAX_BYTES:
        return failed(
            f"{path.name} has {size / 2**20:.1f} MiB, but a shipped baseline may have {MAX_BYTES / 2**20:.0f}; "
            "use a narrower network or half precision."
        )
    return ok(f"{len(state)} tensors, {size / 2**20:.2f} MiB")
