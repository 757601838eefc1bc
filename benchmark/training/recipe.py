"""``recipe.toml``: everything that decides a weight file besides the data."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from torch import nn

from benchmark.data.card import Card
from benchmark.errors import BenchError
from benchmark.models import build_network
from benchmark.root import Root
from benchmark.toml_model import Strict, read_toml

Positive = Annotated[int, Field(ge=1)]


class Adversary(Strict):
    """The inner maximisation of adversarial training, in units of 1/255.

    Over the first ``warmup`` epochs budget and step grow evenly to their full size.
    """

    eps_255: Annotated[float, Field(gt=0, le=255)]
    alpha_255: Annotated[float, Field(gt=0, le=255)]
    steps: Positive
    warmup: Annotated[int, Field(ge=0)] = 0

    def at_epoch(self, number: int) -> "Adversary":
        """The adversary of epoch ``number``, counted from 1."""
        share = min(1.0, number / (self.warmup + 1))
        return self.model_copy(update={"eps_255": self.eps_255 * share, "alpha_255": self.alpha_255 * share})


class Recipe(Strict):
    """How a network is trained; unknown fields are refused.

    ``weights`` is the file to write, relative to the recipe, with ``{dataset}`` for the data set's name;
    ``start_from`` is a weight file to begin with, named in the same way; ``options`` are the architecture's,
    ``dataset_options`` those that differ for a data set.
    """

    method: Literal["natural", "pgd_at"]
    datasets: Annotated[list[str], Field(min_length=1)]
    architecture: str
    options: dict[str, Any] = Field(default_factory=dict)
    dataset_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    weights: str = "weights/{dataset}.safetensors"
    start_from: str | None = None
    seed: int
    epochs: Positive
    batch_size: Positive = 64
    learning_rate: Annotated[float, Field(gt=0)] = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    shift: Annotated[int, Field(ge=0)] = 2
    flip: bool = False
    adversary: Adversary | None = None

    @model_validator(mode="after")
    def _adversary_where_needed(self) -> "Recipe":
        if (self.method == "pgd_at") != (self.adversary is not None):
            need = "needs an" if self.method == "pgd_at" else "takes no"
            raise ValueError(f"method '{self.method}' {need} [adversary] table")
        return self


def untrained_network(recipe: Recipe, card: Card, **more: Any) -> nn.Module:
    """Build the recipe's network for a data set; ``more`` are further options of the architecture."""
    options = {**recipe.options, **recipe.dataset_options.get(card.name, {}), **more}
    return build_network(recipe.architecture, len(card.classes), card.channels, **options)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        BenchError: missing file, or a missing, unknown or wrong field.
    """
    if not path.is_file():
        raise BenchError(f"there is no recipe {path}; give a submission's name or the path of a recipe.toml.")
    return read_toml(path, Recipe)


class SameAs(Strict):
    """A recipe that says: the same network as another submission's."""

    same_as: str


def resolve(root: Root, path: Path) -> tuple[Path, Recipe]:
    """Follow ``same_as`` to the recipe that trains the network; returns its path and itself.

    Raises:
        BenchError: a missing or wrong recipe, or a chain of ``same_as``.
    """
    if path.is_file() and re.search(rb"^\s*same_as\s*=", path.read_bytes(), re.MULTILINE):
        other = root.submissions / read_toml(path, SameAs).same_as / "recipe.toml"
        return other, read_recipe(other)
    return path, read_recipe(path)


def find_recipes(root: Root, name: str) -> list[Path]:
    """Resolve what a user names: a submission, a recipe file, or ``surrogates`` for those of all data sets.

    Raises:
        BenchError: nothing answers to that name.
    """
    given = Path(name)
    if given.suffix == ".toml" and given.is_file():
        return [given]
    surrogates = sorted(root.datasets.glob("*/surrogates/*.toml"))
    if name == "surrogates" and surrogates:
        return surrogates
    recipes = sorted((root.submissions / name).glob("recipe*.toml")) if given.name == name else []
    if recipes:
        return recipes
    known = sorted({path.parent.name for path in root.submissions.glob("*/recipe*.toml")})
    raise BenchError(f"there is no recipe '{name}'; give one of {', '.join([*known, 'surrogates'])} or a .toml file.")
