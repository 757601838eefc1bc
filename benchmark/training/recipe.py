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
from benchmark.training.tables import (
    Adversary,
    Augment,
    Awp,
    Distillation,
    Ema,
    Friendly,
    Helper,
    Margins,
    Mixture,
    Perturbations,
    Positive,
    Regulariser,
    SemiSupervised,
    Stored,
    Surgery,
    Teacher,
)

COMMON = frozenset({"ema", "augment", "surgery"})
"""Tables that every method takes."""

ADVERSARIAL = frozenset({"adversary"})

TABLES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "natural": (frozenset(), frozenset()),
    "pgd_at": (ADVERSARIAL, frozenset({"mixture"})),
    "trades": (ADVERSARIAL, frozenset({"regulariser"})),
    "mart": (ADVERSARIAL, frozenset({"regulariser"})),
    "hat": (ADVERSARIAL | {"helper"}, frozenset({"regulariser"})),
    "mpadvt": (ADVERSARIAL, frozenset({"perturbations"})),
    "maadvt": (ADVERSARIAL, frozenset({"regulariser"})),
    "fat": (ADVERSARIAL, frozenset({"friendly"})),
    "ima": (ADVERSARIAL, frozenset({"margins"})),
    "ssat": (ADVERSARIAL | {"semi_supervised"}, frozenset()),
    "ensemble_at": (ADVERSARIAL | {"surrogates"}, frozenset()),
    "ard": (ADVERSARIAL | {"teacher", "distillation"}, frozenset()),
    "defensive_distillation": (frozenset({"distillation"}), frozenset()),
}
"""Tables that each method needs, and those that it takes besides :data:`COMMON`.

A method with an adversary also takes ``awp`` and ``validation``.
"""

TWO_PASSES = frozenset({"trades", "mart", "hat", "maadvt", "ima", "ensemble_at"})
"""Methods whose loss always looks at clean and at attacked images; others do by the leave of a table."""


def tables_of(method: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the tables that a method needs, and all others that it takes."""
    needs, takes = TABLES[method]
    return needs, takes | COMMON | ({"awp", "validation"} if "adversary" in needs else frozenset())


METHOD_TABLES = frozenset(
    {"awp", "validation", *(table for needs, takes in TABLES.values() for table in needs | takes)}
)


class Recipe(Strict):
    """How a network is trained; unknown fields are refused.

    ``weights`` is the file to write, relative to the recipe, with ``{dataset}`` for the data set's name;
    ``start_from`` is a weight file to begin with, named in the same way; ``options`` are the architecture's,
    ``dataset_options`` those that differ for a data set. ``epoch_images`` are drawn in an epoch, where that is to be
    fewer than the training split has. ``patience`` epochs without a better validation end the training early; the
    learning rate keeps the schedule of the full length. ``validation`` is the adversary that the
    checkpoint is chosen under, where it is not the one of training; with ``balanced`` balanced accuracy chooses it,
    which a network that knows only the commonest class cannot win. ``surgery`` alters the architecture inside. The
    other tables belong to methods, see :data:`TABLES`.
    """

    kind: Literal["classifier"] = "classifier"
    method: Literal[
        "natural",
        "pgd_at",
        "trades",
        "mart",
        "hat",
        "mpadvt",
        "maadvt",
        "fat",
        "ima",
        "ssat",
        "ensemble_at",
        "ard",
        "defensive_distillation",
    ]
    datasets: Annotated[list[str], Field(min_length=1)]
    architecture: str
    options: dict[str, Any] = Field(default_factory=dict)
    dataset_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    weights: str = "weights/{dataset}.safetensors"
    start_from: str | None = None
    seed: int
    epochs: Positive
    epoch_images: Positive | None = None
    batch_size: Positive = 64
    learning_rate: Annotated[float, Field(gt=0)] = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    shift: Annotated[int, Field(ge=0)] = 2
    flip: bool = False
    patience: Positive | None = None
    balanced: bool = False
    adversary: Adversary | None = None
    validation: Adversary | None = None
    regulariser: Regulariser | None = None
    helper: Helper | None = None
    teacher: Teacher | None = None
    surrogates: Annotated[list[Stored], Field(min_length=1)] | None = None
    distillation: Distillation | None = None
    perturbations: Perturbations | None = None
    mixture: Mixture | None = None
    friendly: Friendly | None = None
    margins: Margins | None = None
    semi_supervised: SemiSupervised | None = None
    awp: Awp | None = None
    ema: Ema | None = None
    augment: Augment | None = None
    surgery: Surgery | None = None

    @model_validator(mode="after")
    def _tables_of_the_method(self) -> "Recipe":
        needs, takes = tables_of(self.method)
        given = {name for name in METHOD_TABLES if getattr(self, name) is not None}
        for name in sorted(needs - given):
            article = "an" if name[0] in "aeiou" else "a"
            raise ValueError(f"method '{self.method}' needs {article} {_bracketed(name)} table")
        for name in sorted(given - needs - takes):
            raise ValueError(f"method '{self.method}' takes no {_bracketed(name)} table")
        return self

    @model_validator(mode="after")
    def _a_batch_an_epoch(self) -> "Recipe":
        if self.epoch_images is not None and self.epoch_images < self.batch_size:
            raise ValueError(f"epoch_images is {self.epoch_images}, less than one batch of {self.batch_size}; raise it")
        return self

    @model_validator(mode="after")
    def _images_for_both_halves(self) -> "Recipe":
        if self.surgery is None or self.surgery.dual_batch_norm is None or self._two_passes:
            return self
        remedy = {
            "pgd_at": "add a [mixture] table",
            "mpadvt": "lower share in [perturbations] below 1",
            "ard": "lower alpha in [teacher] below 1",
        }.get(self.method, "take another method, such as 'trades'")
        raise ValueError(
            f"[surgery] dual_batch_norm needs clean and attacked images in the loss, which method '{self.method}' does "
            f"not have here; {remedy}"
        )

    @property
    def _two_passes(self) -> bool:
        """Whether the loss looks at clean images and at attacked ones."""
        leave = {
            "pgd_at": self.mixture is not None,
            "mpadvt": (self.perturbations or Perturbations()).share < 1,
            "ard": self.teacher is not None and self.teacher.alpha < 1,
        }
        return self.method in TWO_PASSES or leave.get(self.method, False)

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages together, where none ends early."""
        if self.method == "defensive_distillation":
            return 2 * self.epochs
        return self.epochs + (self.semi_supervised.epochs if self.semi_supervised else 0)

    @property
    def judge(self) -> Adversary | None:
        """The adversary that the checkpoint is chosen under; None where clean accuracy decides."""
        return self.validation or self.adversary


def _bracketed(table: str) -> str:
    return f"[[{table}]]" if table == "surrogates" else f"[{table}]"


def untrained_network(recipe: Recipe, card: Card, **more: Any) -> nn.Module:
    """Build the recipe's network for a data set as it is stored; ``more`` are further options of the architecture.

    Raises:
        BenchError: the architecture or an option is unknown, or its surgery is not to be had.
    """
    options = {**recipe.options, **recipe.dataset_options.get(card.name, {}), **more}
    network = build_network(recipe.architecture, len(card.classes), card.channels, **options)
    return network if recipe.surgery is None else recipe.surgery.altered(network, card.shape)


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
    followed = follow(root, path)
    return followed, read_recipe(followed)


def follow(root: Root, path: Path) -> Path:
    """The recipe that ``same_as`` in ``path`` leads to, or ``path`` itself where it is a recipe of its own.

    It is the other submission's recipe of the same file name.

    Raises:
        BenchError: a wrong file.
    """
    # An editor's byte order mark is no part of the first line.
    if path.is_file() and re.search(rb"^(?:\xef\xbb\xbf)?\s*same_as\s*=", path.read_bytes(), re.MULTILINE):
        return root.submissions / read_toml(path, SameAs).same_as / path.name
    return path


def find_recipes(root: Root, name: str) -> list[Path]:
    """Resolve what a user names: a recipe file, a submission's folder or name, or ``surrogates`` for all data sets'.

    Raises:
        BenchError: nothing answers to that name.
    """
    given = Path(name)
    if given.suffix == ".toml" and given.is_file():
        return [given.parent.resolve() / given.name]
    if name and (given / "submission.toml").is_file():
        recipes = sorted(given.resolve().glob("recipe*.toml"))
        if recipes:
            return recipes
    surrogates = sorted(root.datasets.glob("*/surrogates/*.toml"))
    if name == "surrogates" and surrogates:
        return surrogates
    recipes = sorted((root.submissions / name).glob("recipe*.toml")) if given.name == name else []
    if recipes:
        return recipes
    if name == "surrogates":
        raise BenchError(
            f"no data set in {root.datasets} has recipes of surrogates; 'bench datasets import' writes some."
        )
    known = sorted({path.parent.name for path in root.submissions.glob("*/recipe*.toml")})
    raise BenchError(f"there is no recipe '{name}'; give one of {', '.join([*known, 'surrogates'])} or a .toml file.")
