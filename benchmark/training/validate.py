"""Accuracy on the validation split, which decides the checkpoint and nothing else."""

import copy
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from benchmark.data.images import ImageSource
from benchmark.data.split import Split
from benchmark.passes import images_per_pass
from benchmark.randomness import Randomness, content_seed
from benchmark.task.build import task_of
from benchmark.training.inner import attacked
from benchmark.training.recipe import Recipe
from benchmark.training.tables import Adversary

PASS_PIXELS = 600 * 32 * 32
"""Most pixels (N H W) that go through the network at once: what its layers hold grows with them.

The embedded set's validation split, the largest of the shipped baselines', is just one pass.
"""


def validate(network: nn.Module, recipe: Recipe, split: Split, device: torch.device) -> tuple[float, float | None]:
    """Clean and, where the recipe has an adversary, robust accuracy in [0, 1] of the network as it would be stored.

    Where the recipe says ``balanced``, both are balanced accuracies: the mean of the classes' shares that are right.
    """
    stored = as_stored(network if recipe.surgery is None else recipe.surgery.stored(network))
    clean = accuracy(_answers(stored, clean_parts(split, device)), split.labels, recipe.balanced)
    if recipe.judge is None:
        return clean, None
    found = attacked_parts(stored, recipe.judge, split, recipe.seed, device)
    return clean, accuracy(_answers(stored, found), split.labels, recipe.balanced)


def as_stored(network: nn.Module) -> nn.Module:
    """A copy in eval mode whose weights have been through the half precision of a weight file."""
    stored = copy.deepcopy(network).eval()
    for value in stored.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half().float())
    return stored


def attacked_split(network: nn.Module, adversary: Adversary, split: Split, seed: int, device: torch.device) -> Tensor:
    """Images of a split (N, C, H, W) under an adversary who draws the same for an image in every epoch."""
    return torch.cat(list(attacked_parts(network, adversary, split, seed, device)))


def attacked_parts(
    network: nn.Module, adversary: Adversary, split: Split, seed: int, device: torch.device
) -> Iterator[Tensor]:
    """The same, one pass after another: a large split does not fit into memory."""
    for part in passes(split.pixels):
        draw = Randomness((content_seed("validate", seed, name) for name in split.ids[part]), device)
        images, labels = split.pixels[part].to(device), split.labels[part].to(device)
        yield attacked(network, adversary, images, labels, draw, task_of(split))


def clean_parts(split: Split, device: torch.device) -> Iterator[Tensor]:
    """Images of a split as they are, one pass after another."""
    return (split.pixels[part].to(device) for part in passes(split.pixels))


def passes(images: Tensor | ImageSource) -> Iterator[slice]:
    """Parts of images (N, C, H, W) of at most :data:`PASS_PIXELS` pixels, and of one image at least."""
    size = images_per_pass(images, PASS_PIXELS)
    return (slice(first, first + size) for first in range(0, len(images), size))


def accuracy(answers: Tensor, labels: Tensor, balanced: bool) -> float:
    """Share of answers (N,) that are the labels (N,); with ``balanced`` the mean of the classes' shares."""
    right = (answers == labels.to(answers.device)).float()
    if not balanced:
        return float(right.mean())
    places = labels.to(answers.device)
    return float(torch.stack([right[places == label].mean() for label in set(labels.tolist())]).mean())


def _answers(network: nn.Module, parts: Iterable[Tensor]) -> Tensor:
    answers = []
    for images in parts:
        with torch.no_grad():
            answers.append(network(images).argmax(dim=1))
    return torch.cat(answers)
