"""Recipes of every kind: which one a file holds, and who trains it."""

import tomllib
from collections.abc import Callable
from pathlib import Path

from benchmark.data.card import Card
from benchmark.data.split import Split
from benchmark.errors import BenchError, did_you_mean
from benchmark.root import Root
from benchmark.submission.manifest import read_manifest
from benchmark.training.filters import FilterRecipe, read_filter_recipe, train_filter
from benchmark.training.log import Epoch
from benchmark.training.recipe import Recipe, follow, read_recipe
from benchmark.training.train import TrainingReport, train

Plan = Recipe | FilterRecipe

KINDS = ("classifier", "filter")
"""What ``kind`` in a recipe may say; a recipe that is silent trains a classifier."""


def read_plan(root: Root, path: Path) -> tuple[Path, Plan]:
    """Follow ``same_as`` and read the recipe that it leads to; returns its path and itself.

    Raises:
        BenchError: a missing or wrong recipe, or a chain of ``same_as``.
    """
    followed = follow(root, path)
    kind = _kind(followed)
    if kind not in KINDS:
        raise BenchError(f"{followed}: field 'kind' is '{kind}'.{did_you_mean(str(kind), KINDS)}")
    return followed, read_filter_recipe(followed) if kind == "filter" else read_recipe(followed)


def datasets_of(root: Root, path: Path) -> list[str]:
    """Data sets that ``bench train`` takes up for a recipe file: those that it names.

    Of another submission's recipe (``same_as``) they are those that the submission beside the file names itself.

    Raises:
        BenchError: as :func:`read_plan`, or a wrong manifest.
    """
    followed, plan = read_plan(root, path)
    if followed == path or not (path.parent / "submission.toml").is_file():
        return plan.datasets
    own = read_manifest(path.parent).datasets
    return [name for name in plan.datasets if name in own]


def _kind(path: Path) -> object:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig")).get("kind", KINDS[0])
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        # Whoever reads the recipe says what is wrong with the file.
        return KINDS[0]


def total_epochs(plan: Plan) -> int:
    """Epochs of all stages together."""
    return plan.total_epochs if isinstance(plan, Recipe) else plan.epochs


def train_plan(
    plan: Plan,
    card: Card,
    splits: tuple[Split, Split],
    target: Path,
    on_epoch: Callable[[Epoch], None],
    device: str,
    beside: Path,
    on_batch: Callable[[float], None],
    overwrite: bool = True,
) -> TrainingReport:
    """Train what a recipe of either kind describes; arguments and errors as :func:`benchmark.training.train`."""
    if isinstance(plan, FilterRecipe):
        return train_filter(plan, card, splits, target, on_epoch, device, beside, on_batch, overwrite)
    return train(plan, card, splits, target, on_epoch, device, beside, on_batch, overwrite)
