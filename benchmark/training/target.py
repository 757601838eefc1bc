"""The weight file that a training is to write: claimed before the first epoch, written after the last."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from benchmark.data.split import Split
from benchmark.errors import BenchError
from benchmark.submission.placing import check_writable, clear_companions, sha256_at, write_weights
from benchmark.submission.records import UNTRAINED, records_of
from benchmark.submission.weights import to_bytes
from benchmark.training.filter_recipe import FilterRecipe
from benchmark.training.log import Epoch, Paths, facts, recipe_key, write_log
from benchmark.training.recipe import Recipe


@dataclass(frozen=True)
class TrainingReport:
    """What a training run made.

    Attributes:
        weights: the weight file. It is another one than was asked for where a file that this recipe did not make came
            there during the training; that file stays as it is.
        sha256: of the weight file.
        best: the epoch whose weights were written, one of the last stage.
        log: the epochs of all stages.
        kept: copies of the files that the new ones replaced and that this recipe did not make, or made from other
            training data.
        other_data: whether this recipe made what is kept, from other training data.
    """

    weights: Path
    sha256: str
    best: Epoch
    log: tuple[Epoch, ...]
    kept: tuple[Path, ...] = ()
    other_data: bool = False


def made_by(recipe: Recipe | FilterRecipe, dataset: str, weights: Path, sha256: str, training_data: str = "") -> bool:
    """Whether records beside a weight file say that a recipe, or nobody's training, made it.

    Records from before recipes had keys have none, and could be of any settings.

    Args:
        recipe: of either kind.
        dataset: name of the data set.
        weights: the file.
        sha256: of the file.
        training_data: hash of the training split that it must have been made from; any where empty.
    """

    def is_ours(record: dict[str, Any]) -> bool:
        if record.get("method") == UNTRAINED:
            return True
        said = (record.get("method"), record.get("dataset"), record.get("recipe"))
        of_data = not training_data or record.get("training_data") == training_data
        return said == (recipe.method, dataset, recipe_key(recipe)) and of_data

    return weights.parent.is_dir() and any(is_ours(record) for record in records_of(weights, sha256))


class Target:
    """A weight file's place, which holds nothing that training it would destroy.

    Args:
        recipe: of either kind.
        dataset: name of the data set.
        path: the file to write.
        overwrite: replace a file that this recipe did not make; a copy is kept beside it.

    Raises:
        BenchError: such a file lies there and ``overwrite`` is False, or the place cannot be written to.
    """

    def __init__(self, recipe: Recipe | FilterRecipe, dataset: str, path: Path, overwrite: bool) -> None:
        self.recipe, self.dataset, self.path = recipe, dataset, path
        check_writable(path)
        self._found = sha256_at(path)
        if self._found is not None and not overwrite and not self._made(self._found):
            raise BenchError(
                f"{path} would be replaced, but {self._why_not(self._found)}; give --overwrite, which keeps the old "
                "file beside the new one, or --output FOLDER."
            )

    def store(
        self,
        network: nn.Module,
        training: Split,
        log: Sequence[Epoch],
        best: Epoch,
        begun_from: dict[str, str],
        device: str,
    ) -> TrainingReport:
        """Write the weight file, and beside it log, curve and record; arguments as :func:`.log.facts`.

        A file that came to this place since it was claimed, or a copy of the one that it is leave to replace, stays;
        a copy of what this recipe made from other training data stays too.
        """

        def made_again(sha256: str) -> bool:
            return self._made(sha256, training.content_hash)

        other_data = self._found is not None and self._made(self._found) and not made_again(self._found)
        written = write_weights(self.path, to_bytes(network), self._found, made_again)
        kept = written.kept + clear_companions(written)
        told = facts(self.recipe, training, log, best, written.sha256, begun_from, device)
        write_log(Paths(written.path), f"{self.recipe.method} on {self.dataset}", log, told)
        return TrainingReport(
            written.path, written.sha256, best, tuple(log), kept, other_data and written.replaced == self._found
        )

    def _made(self, sha256: str, training_data: str = "") -> bool:
        """Whether this recipe, or nobody's training, made the file with that sha256, from that data if given."""
        return made_by(self.recipe, self.dataset, self.path, sha256, training_data)

    def _why_not(self, sha256: str) -> str:
        """Why the file may not be replaced, as a clause."""
        records = records_of(self.path, sha256)
        if not records:
            return f"no training record beside it names its sha256 {sha256[:12]}…, so this recipe may not have made it"
        method, dataset = records[0].get("method"), records[0].get("dataset")
        if (method, dataset) == (self.recipe.method, self.dataset):
            if "recipe" not in records[0]:
                return "its training record does not say with which settings it was trained"
            return "it was trained with other settings than this recipe has now"
        return f"its training record is of '{method}' on '{dataset}', not of '{self.recipe.method}' on '{self.dataset}'"
