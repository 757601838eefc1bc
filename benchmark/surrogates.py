"""Surrogate models of the no-box view: trained by the attacker on the training split, never seen by the target."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmark.data.card import Card
from benchmark.errors import BenchError
from benchmark.layout import laid_out
from benchmark.root import Root
from benchmark.submission.weights import load_into, read_weights
from benchmark.training.recipe import read_recipe, untrained_network

DEFAULT = "mobilenetv2"
"""The surrogate that is meant where none is named."""

ENSEMBLE = "ensemble"
"""The name that stands for all surrogates of a data set together."""


class Ensemble(nn.Module):
    """Mean of the members' logits (Dong et al. 2018, ensemble in logits, with equal weights)."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [0, 1] to logits (N, K)."""
        return torch.stack([member(images) for member in self.members]).mean(dim=0)


def surrogate_names(root: Root, dataset: str) -> list[str]:
    """Names of the surrogates that a data set ships, sorted: one recipe each."""
    return sorted(path.stem for path in (root.datasets / dataset / "surrogates").glob("*.toml"))


def load_surrogate(root: Root, card: Card, name: str = DEFAULT) -> nn.Module:
    """Load one surrogate of a data set, or their ensemble, in eval mode.

    Args:
        root: the project's root.
        card: the data set's card.
        name: name of a recipe under the data set's ``surrogates``, or ``ensemble``.

    Raises:
        BenchError: the data set does not ship that surrogate, or fewer than two for an ensemble; a broken file.
    """
    folder, known = root.datasets / card.name / "surrogates", surrogate_names(root, card.name)
    if name == ENSEMBLE and len(known) >= 2:
        return Ensemble([_load(folder / f"{member}.toml", card) for member in known]).eval()
    if name in known and name != ENSEMBLE:
        return _load(folder / f"{name}.toml", card)
    if not known:
        raise BenchError(
            f"data set '{card.name}' ships no surrogate, so the no-box track cannot run; "
            f"add datasets/{card.name}/surrogates/{DEFAULT}.toml and run 'bench train surrogates'."
        )
    if name == ENSEMBLE:
        raise BenchError(
            f"data set '{card.name}' ships one surrogate, {known[0]}, and an ensemble needs two; "
            f"add a recipe to datasets/{card.name}/surrogates and run 'bench train surrogates'."
        )
    raise BenchError(f"data set '{card.name}' ships no surrogate '{name}'; take one of {', '.join(known)}.")


def _load(path: Path, card: Card) -> nn.Module:
    recipe = read_recipe(path)
    weights = path.parent / recipe.weights.format(dataset=card.name)
    return laid_out(load_into(untrained_network(recipe, card), read_weights(weights), str(weights)))


def surrogate_hash(root: Root, dataset: str, name: str = DEFAULT) -> str:
    """sha256 over a surrogate's recipe and weights, over those of all for ``ensemble``; empty without any.

    A further surrogate leaves the hashes of the others, and with them the rows made with those, as they are.
    """
    folder = root.datasets / dataset / "surrogates"
    files: set[Path] = set()
    for member in surrogate_names(root, dataset):
        if name in (member, ENSEMBLE):
            recipe = folder / f"{member}.toml"
            files |= {recipe, folder / read_recipe(recipe).weights.format(dataset=dataset)}
    digest = hashlib.sha256()
    for path in sorted(files):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest() if files else ""
