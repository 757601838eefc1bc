"""``recipe.toml`` with ``kind = "filter"``: everything that decides a filter's weights besides the data."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from benchmark.errors import BenchError
from benchmark.toml_model import Strict, read_toml
from benchmark.training.tables import Adversary

Positive = Annotated[int, Field(ge=1)]


class Classifier(Strict):
    """The trained network that the filter stands before.

    ``weights`` is relative to the recipe, with ``{dataset}`` for the data set's name; ``dataset_options`` are those
    options of the architecture that differ for a data set.
    """

    weights: str
    architecture: str
    options: dict[str, Any] = Field(default_factory=dict)
    dataset_options: dict[str, dict[str, Any]] = Field(default_factory=dict)


class FilterRecipe(Strict):
    """How a filter is trained; unknown fields are refused.

    ``comdefend`` (Jia et al. 2019) learns to code images in few bits; ``noise_std`` belongs to the noise on the code
    and ``code_weight`` to the regularisation. ``hgd`` (Liao et al. 2018) learns to undo the attacks of ``adversary`` on
    the classifier, with a budget drawn per batch between none and the full one; ``guidance`` compares the classifier's
    logits (the paper's LGD) or the pixels (its PGD, pixel guided denoiser). With an adversary the checkpoint is chosen
    by accuracy under it, else by clean accuracy; with ``balanced`` batches have each class as often as every other, and
    balanced accuracy chooses. ``patience`` epochs without a better one end the training early.
    ``options`` are the filter's: ``widths``, for ComDefend also ``maps``.
    """

    kind: Literal["filter"]
    method: Literal["comdefend", "hgd"]
    datasets: Annotated[list[str], Field(min_length=1)]
    classifier: Classifier
    options: dict[str, Any] = Field(default_factory=dict)
    weights: str = "weights/{dataset}.safetensors"
    seed: int
    epochs: Positive
    batch_size: Positive = 64
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    shift: Annotated[int, Field(ge=0)] = 2
    patience: Positive | None = None
    balanced: bool = False
    noise_std: Annotated[float, Field(gt=0)] = 20.0
    code_weight: Annotated[float, Field(ge=0)] = 1e-4
    guidance: Literal["logits", "pixels"] = "logits"
    adversary: Adversary | None = None

    @model_validator(mode="after")
    def _fields_of_the_method(self) -> "FilterRecipe":
        foreign = {"comdefend": {"guidance"}, "hgd": {"noise_std", "code_weight"}}[self.method]
        for name in sorted(foreign & self.model_fields_set):
            raise ValueError(f"method '{self.method}' takes no '{name}'; remove it")
        if self.method == "hgd" and self.adversary is None:
            raise ValueError("method 'hgd' needs an [adversary] table")
        return self


def read_filter_recipe(path: Path) -> FilterRecipe:
    """Read a recipe.

    Raises:
        BenchError: missing file, or a missing, unknown or wrong field.
    """
    if not path.is_file():
        raise BenchError(f"there is no recipe {path}; give a submission's name or the path of a recipe.toml.")
    return read_toml(path, FilterRecipe)
