"""The state of an unfinished run, so that a killed training goes on where it stopped."""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.data.split import Split
from benchmark.files import write_atomically
from benchmark.randomness import content_seed
from benchmark.toml_model import Strict
from benchmark.training.filter_recipe import FilterRecipe
from benchmark.training.recipe import Recipe


def run_key(recipe: Strict, splits: tuple[Split, Split], stored: dict[str, str], device: torch.device) -> str:
    """Hash of all that decides the weights of a run.

    Args:
        recipe: of either kind; where it writes and which data sets it names besides do not count.
        splits: training and validation split.
        stored: sha256 of each weight file that the run draws on, by name.
        device: where it runs.
    """
    training, validation = splits
    beside_the_point = {"weights", "datasets"}
    if isinstance(recipe, FilterRecipe) and not recipe.balanced:
        # The field came later: recipes without it keep their key.
        beside_the_point.add("balanced")
    if isinstance(recipe, Recipe) and recipe.epoch_images is None:
        beside_the_point.add("epoch_images")
    facts = (
        recipe.model_dump_json(exclude=beside_the_point),
        training.dataset,
        training.content_hash,
        validation.content_hash,
        sorted(stored.items()),
        device.type,
        torch.__version__,
    )
    return f"{content_seed('part', 1, *facts):016x}"


@dataclass(frozen=True)
class Part:
    """A ``.part`` file: written whole after each epoch, read only by the run that it belongs to.

    Attributes:
        path: where it lies.
        key: :func:`run_key` of the run; a file with another key is not read.
    """

    path: Path
    key: str

    def read(self) -> dict[str, Any] | None:
        """Return what was written, or None where there is nothing of this run."""
        if not self.path.is_file():
            return None
        try:
            # Tensors and plain values only: an unpickler that could run code is never used.
            found = torch.load(io.BytesIO(self.path.read_bytes()), map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError):
            return None
        if not isinstance(found, dict) or found.get("key") != self.key:
            return None
        return {str(name): value for name, value in found.items()}

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file by a state of tensors, numbers, texts, lists and dictionaries."""
        content = io.BytesIO()
        torch.save({**state, "key": self.key}, content)
        write_atomically(self.path, content.getvalue())

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
