"""Whether an entry deploys the network that its recipe trains."""

from pathlib import Path

import torch
from torch import nn

from benchmark.data.card import Card
from benchmark.randomness import content_seed
from benchmark.submission import Entry
from benchmark.submission.weights import load_into, read_weights
from benchmark.training.filters import FilterRecipe, filtered_classifier
from benchmark.training.plans import Plan
from benchmark.training.recipe import untrained_network

PROBES = 8
CLOSE = 1e-3
"""Logits of one network differ by rounding between layouts, those of two networks by far more."""


def trained_classifier(plan: Plan, card: Card, weights: Path) -> nn.Module:
    """Load a trained weight file into the recipe's own network, for a filter into the classifier behind it.

    Raises:
        BenchError: the file is missing or does not fit.
    """
    if isinstance(plan, FilterRecipe):
        return load_into(filtered_classifier(plan, card), read_weights(weights), str(weights)).classifier
    return load_into(untrained_network(plan, card), read_weights(weights), str(weights))


def deploys(entry: Entry, plan: Plan, card: Card, weights: Path) -> bool:
    """Tell whether the entry's classifier answers noise as the trained one does.

    Weights alone do not tell: pooling, strides and activations have none, so that a file loads without complaint into a
    network that it was never trained as.

    Args:
        entry: an entry whose manifest names the weights.
        plan: the recipe that trained them.
        card: the data set's card.
        weights: the safetensors file.

    Raises:
        BenchError: the entry cannot be built, or the file does not fit the recipe's network.
    """
    noise = torch.Generator().manual_seed(content_seed("deployed", card.name))
    images = torch.rand((PROBES, *card.shape), generator=noise)
    with torch.no_grad():
        ours = entry.build(card).classifier.eval()(images)
        recipes = trained_classifier(plan, card, weights).eval()(images)
    return ours.shape == recipes.shape and bool(torch.allclose(ours, recipes, atol=CLOSE, rtol=CLOSE))
