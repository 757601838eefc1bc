"""Class-balanced, augmented batches, a function of recipe, split and epoch alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.data.split import Split
from benchmark.randomness import Randomness, content_seed
from benchmark.training.recipe import Recipe
from benchmark.training.tables import Augment


@dataclass(frozen=True)
class Batch:
    """What a method sees of one step.

    Attributes:
        images: (N, C, H, W) float32 in [0, 1], augmented.
        labels: (N,) int64.
        places: (N,) int64 places of the images in the training split, on the CPU; one may occur twice.
        epoch: number of the epoch, counted from 1.
        draw: one random stream per image.
        seed: what the batch as a whole draws from.
    """

    images: Tensor
    labels: Tensor
    places: Tensor
    epoch: int
    draw: Randomness
    seed: int


def balanced_batches(recipe: Recipe, split: Split, epoch: int, device: torch.device) -> Iterator[Batch]:
    """Draw inverse-frequency weighted batches (survey code), each shifted and, where asked, further augmented.

    Args:
        recipe: supplies seed, batch size and augmentation.
        split: the training split.
        epoch: counted from 1.
        device: where images, labels and random streams are put.
    """
    draw = torch.Generator().manual_seed(content_seed("batches", recipe.seed, epoch))
    more = torch.Generator().manual_seed(content_seed("augment", recipe.seed, epoch))
    count = images_an_epoch(recipe, split) // recipe.batch_size * recipe.batch_size
    chosen = balanced_places(split.labels, count, draw)
    for number, start in enumerate(range(0, count, recipe.batch_size)):
        places = chosen[start : start + recipe.batch_size]
        images = shifted(split.pixels[places], recipe.shift, draw)
        if recipe.flip:
            mirrored = torch.rand(len(images), generator=draw) < 0.5
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        if recipe.augment is not None:
            images = augmented(images, recipe.augment, more)
        seeds = (content_seed(recipe.seed, epoch, number, place) for place in range(len(images)))
        yield Batch(
            images.to(device),
            split.labels[places].to(device),
            places,
            epoch,
            Randomness(seeds, device),
            content_seed("batch", recipe.seed, epoch, number),
        )


def images_an_epoch(recipe: Recipe, split: Split) -> int:
    """Images that an epoch draws: as many as there are, or fewer where the recipe says so."""
    return min(len(split), recipe.epoch_images or len(split))


def balanced_places(labels: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Places (count,) of images drawn with replacement, each class as often as every other, from labels (N,)."""
    counts = torch.bincount(labels, minlength=int(labels.max()) + 1).float()
    return torch.multinomial(1 / counts[labels], count, replacement=True, generator=draw)


def shifted(images: Tensor, shift: int, draw: torch.Generator) -> Tensor:
    """Translate each image (N, C, H, W) by up to ``shift`` pixels, repeating the border."""
    if shift == 0:
        return images
    height, width = images.shape[2:]
    padded = F.pad(images, (shift,) * 4, mode="replicate")
    offsets = torch.randint(0, 2 * shift + 1, (len(images), 2), generator=draw).tolist()
    return torch.stack(
        [image[:, row : row + height, col : col + width] for image, (row, col) in zip(padded, offsets, strict=True)]
    )


def augmented(images: Tensor, plan: Augment, draw: torch.Generator) -> Tensor:
    """Rotate, change contrast and brightness and cut out a square, each drawn per image; (N, C, H, W) in [0, 1]."""

    def uniform(reach: float) -> Tensor:
        return (2 * torch.rand(len(images), generator=draw) - 1).mul(reach)[:, None, None, None]

    if plan.rotate:
        images = _rotated(images, uniform(math.radians(plan.rotate)).flatten())
    if plan.contrast:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + (images - mean) * (1 + uniform(plan.contrast))
    if plan.brightness:
        images = images + uniform(plan.brightness)
    images = images.clamp(0, 1)
    return _cut_out(images, plan.cutout, draw) if plan.cutout else images


def _rotated(images: Tensor, angles: Tensor) -> Tensor:
    """Turn each image about its centre by its angle (N,) in radians, bilinear, repeating the border."""
    height, width = images.shape[2:]
    cos, sin, none = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # The grid counts half widths and half heights, which differ where the image is no square.
    rows = [
        torch.stack([cos, -sin * height / width, none], dim=1),
        torch.stack([sin * width / height, cos, none], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _cut_out(images: Tensor, side: int, draw: torch.Generator) -> Tensor:
    """Replace a square of ``side`` pixels around a random pixel of each image by the image's mean."""
    count, _, height, width = images.shape
    top = torch.randint(0, height, (count, 1), generator=draw) - side // 2
    left = torch.randint(0, width, (count, 1), generator=draw) - side // 2
    row, col = torch.arange(height)[None], torch.arange(width)[None]
    inside = ((row >= top) & (row < top + side))[:, :, None] & ((col >= left) & (col < left + side))[:, None, :]
    return torch.where(inside[:, None], images.mean(dim=(2, 3), keepdim=True), images)
