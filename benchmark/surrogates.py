"""Surrogate models of the no-box view: trained by the attacker on the training split, never seen by the target."""

import hashlib

from torch import nn

from benchmark.data.card import Card
from benchmark.errors import BenchError
from benchmark.root import Root
from benchmark.submission.weights import load_into, read_weights
from benchmark.training.recipe import read_recipe, untrained_network


def load_surrogate(root: Root, card: Card) -> nn.Module:
    """Load the data set's surrogate, in eval mode.

    Raises:
        BenchError: the data set ships none.
    """
    recipes = sorted((root.datasets / card.name / "surrogates").glob("*.toml"))
    if not recipes:
        raise BenchError(
            f"data set '{card.name}' ships no surrogate, so the no-box track cannot run; "
            f"add datasets/{card.name}/surrogates/mobilenetv2.toml and run 'bench train surrogates'."
        )
    recipe = read_recipe(recipes[0])
    path = recipes[0].parent / recipe.weights.format(dataset=card.name)
    return load_into(untrained_network(recipe, card), read_weights(path), str(path))


def surrogate_hash(root: Root, dataset: str) -> str:
    """sha256 over the data set's surrogate files; empty without any."""
    digest = hashlib.sha256()
    files = sorted((root.datasets / dataset / "surrogates").glob("*"))
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest() if files else ""
