"""Networks that training takes from weight files: a helper, a teacher, static surrogates, a start."""

from pathlib import Path

from torch import nn

from benchmark.data.card import Card
from benchmark.models import build_network
from benchmark.submission.weights import load_into, read_weights, sha256_of
from benchmark.training.recipe import Recipe, untrained_network
from benchmark.training.tables import Stored


def stored_network(stored: Stored, recipe: Recipe, card: Card, beside: Path) -> nn.Module:
    """Load a network that a recipe names, in eval mode and with its weights held fixed.

    Args:
        stored: what the recipe says of it.
        recipe: supplies architecture and options where ``stored`` has none.
        card: the data set's card.
        beside: the folder that paths are relative to.

    Raises:
        BenchError: the weight file is missing or does not fit the architecture.
    """
    if stored.architecture is None:
        network = untrained_network(recipe, card)
    else:
        network = build_network(stored.architecture, len(card.classes), card.channels, **(stored.options or {}))
    path = beside / stored.weights.format(dataset=card.name)
    return load_into(network, read_weights(path), str(path)).requires_grad_(False)


def hashes_of_stored(recipe: Recipe, card: Card, beside: Path) -> dict[str, str]:
    """sha256 of every weight file that a recipe begins from, by the name that the recipe gives it.

    Raises:
        BenchError: a file is missing.
    """
    named = [stored.weights for stored in (recipe.helper, recipe.teacher, *(recipe.surrogates or [])) if stored]
    if recipe.start_from is not None:
        named.append(recipe.start_from)
    hashes = {}
    for name in named:
        path = beside / name.format(dataset=card.name)
        if not path.is_file():
            read_weights(path)
        hashes[name.format(dataset=card.name)] = sha256_of(path)
    return hashes
