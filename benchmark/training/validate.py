"""Accuracy on the validation split, which decides the checkpoint and nothing else."""

import copy

import torch
from torch import Tensor, nn

from benchmark.data.split import Split
from benchmark.randomness import Randomness, content_seed
from benchmark.training.inner import attacked
from benchmark.training.recipe import Recipe


def validate(network: nn.Module, recipe: Recipe, split: Split, device: torch.device) -> tuple[float, float | None]:
    """Clean and, where the recipe has an adversary, robust accuracy in [0, 1] of the network as it would be stored.

    Where the recipe says ``balanced``, both are balanced accuracies: the mean of the classes' shares that are right.
    """
    stored = copy.deepcopy(network if recipe.surgery is None else recipe.surgery.stored(network)).eval()
    for value in stored.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half().float())
    images, labels = split.images.to(device), split.labels.to(device)
    with torch.no_grad():
        clean = _accuracy(stored(images), labels, recipe.balanced)
    if recipe.judge is None:
        return clean, None
    draw = Randomness((content_seed("validate", recipe.seed, name) for name in split.ids), device)
    found = attacked(stored, recipe.judge, images, labels, draw, len(split.classes))
    with torch.no_grad():
        return clean, _accuracy(stored(found), labels, recipe.balanced)


def _accuracy(logits: Tensor, labels: Tensor, balanced: bool) -> float:
    right = (logits.argmax(dim=1) == labels).float()
    if not balanced:
        return float(right.mean())
    return float(torch.stack([right[labels == label].mean() for label in set(labels.tolist())]).mean())
