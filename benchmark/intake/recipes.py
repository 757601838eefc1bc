"""Recipes of the no-box attacker's surrogates, for images of any size."""

from pathlib import Path

from benchmark.data.card import Card
from benchmark.files import write_atomically

LARGE = 20_000
"""Training images from which an epoch draws no more than half as many."""

IMAGES_SEEN = 60_000
"""Images that a training sees in all, within 5 to 40 epochs."""


def surrogate_recipes(card: Card) -> dict[str, str]:
    """Return the recipes' text by name; without training images there are none."""
    if not card.splits.trainable:
        return {}
    side, images = min(card.height, card.width), min(card.splits.train, LARGE // 2)
    options = {
        "mobilenetv2": f"width = 0.35\nreduction = {8 if side < 24 else 16 if side < 48 else 32}",
        "vgg": f"depth = 11\nwidth = 16\npools = {3 if side < 48 else 4 if side < 128 else 5}",
        "densenet": (f"growth = {12 if side < 128 else 8}\nblocks = [3, 3, 3, 3]\nstride = {1 if side < 24 else 2}"),
    }
    common = [
        'method = "natural"',
        f'datasets = ["{card.name}"]',
        f"epochs = {max(5, min(40, IMAGES_SEEN // images))}",
        *([f"epoch_images = {images}"] if card.splits.train > LARGE else []),
        f"batch_size = {max(1, min(64, images // 4))}",
        "learning_rate = 0.05",
        f"shift = {max(1, side // 16)}",
        "balanced = true",
    ]
    return {
        name: "\n".join(
            [
                *common,
                f'architecture = "small-{name}"',
                f'weights = "{name}.safetensors"',
                f"seed = {seed}",
                f"\n[options]\n{told}\n",
            ]
        )
        for seed, (name, told) in enumerate(options.items(), start=2)
    }


def write_recipes(card: Card, folder: Path) -> list[Path]:
    """Write the recipes below ``folder``/surrogates, unless there is one of that name; returns all of them."""
    paths = {folder / "surrogates" / f"{name}.toml": text for name, text in surrogate_recipes(card).items()}
    for path, text in paths.items():
        if not path.exists():
            write_atomically(path, text.encode())
    return list(paths)
