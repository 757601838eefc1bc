"""Checks that need no model: the folder's files and the weight files."""

from collections.abc import Sequence
from pathlib import Path

from benchmark.data.card import Card
from benchmark.errors import BenchError
from benchmark.submission.checks.outcome import Outcome, failed, ok, skipped, warning
from benchmark.submission.manifest import Manifest
from benchmark.submission.weights import MAX_BYTES, read_weights

_PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5", ".npy", ".npz"}
"""Endings of weight files that are refused: most can run code when they are loaded."""


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts and not path.is_dir())


def contents(folder: Path, manifest: Manifest) -> Outcome:
    """No weights but safetensors, nothing that points out of the folder, nothing that the manifest forgets."""
    found = _files(folder)
    for path in found:
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() in _PICKLES:
            return failed(
                f"{name} is a {path.suffix} file, but only safetensors are loaded; convert it with "
                "safetensors.torch.save_file(state_dict, ...) and remove it."
            )
        if not path.resolve().is_relative_to(folder.resolve()):
            return failed(f"{name} is a link out of the submission's folder; put the file itself there.")
    named = {Path(weights.file).as_posix() for weights in manifest.weights.values()}
    stray = [
        path for path in found if path.suffix == ".safetensors" and path.relative_to(folder).as_posix() not in named
    ]
    if stray:
        return warning(
            f"{stray[0].relative_to(folder).as_posix()} is named by no [weights] table of the manifest; "
            "name it or remove it."
        )
    if not (folder / "README.md").is_file():
        return warning("there is no README.md; add one that says how the weights were made.")
    return ok(f"{len(found)} files")


def datasets(manifest: Manifest, cards: Sequence[Card]) -> Outcome:
    """The manifest's task fits the data sets."""
    for card in cards:
        expected = "classification" if card.task in ("binary", "multiclass") else card.task
        if manifest.task != expected:
            return failed(
                f"task is '{manifest.task}' but data set '{card.name}' is for {expected}; correct task or datasets."
            )
    return ok()


def weights(folder: Path, manifest: Manifest, card: Card) -> Outcome:
    """The weight file is there, is safetensors, has the manifest's sha256 and finite values."""
    named = manifest.weights.get(card.name)
    if named is None:
        return skipped(f"the manifest names no weights for '{card.name}'")
    try:
        state = read_weights(folder / named.file, named.sha256)
    except BenchError as error:
        return failed(str(error))
    size = (folder / named.file).stat().st_size
    if manifest.baseline and size > MAX_BYTES:
        return failed(
            f"{named.file} has {size / 2**20:.1f} MiB, but a shipped baseline may have {MAX_BYTES / 2**20:.0f}; "
            "use a narrower network or half precision."
        )
    return ok(f"{len(state)} tensors, {size / 2**20:.2f} MiB")
