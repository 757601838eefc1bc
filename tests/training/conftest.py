"""A tiny data set in memory and a function that trains on it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark.data.card import Card
from benchmark.data.split import Split
from benchmark.training import Recipe, TrainingReport, train

SIZE = 8


def make_card(classes: int = 2, name: str = "tiny") -> Card:
    fields = dict.fromkeys(("title", "modality", "source", "licence", "citation"), "test")
    return Card(
        name=name,
        task="multiclass",
        classes=[f"class-{i}" for i in range(classes)],
        size=SIZE,
        channels=1,
        loader="synthetic",
        patient_ids=False,
        splits={"train": 1, "val": 1, "test": 1},
        official={"count": 1, "drawn": "by rule"},
        **fields,
    )


def make_split(name: str, labels: torch.Tensor, seed: int, contrast: float = 0.15, noise: float = 0.2) -> Split:
    """Class c is brighter in the c-th quarter of the rows."""
    images = 0.4 + noise * (torch.rand(len(labels), 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) - 0.5)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 2 * label : 2 * label + 2] += contrast
    ids = tuple(f"{name}-{i}" for i in range(len(labels)))
    classes = tuple(f"class-{i}" for i in range(2))
    return Split("tiny", name, images.clamp(0, 1), labels, ids, ids, classes)


def make_recipe(**changes: object) -> Recipe:
    fields: dict[str, object] = {
        "method": "natural",
        "datasets": ["tiny"],
        "architecture": "narrow-resnet18",
        "options": {"width": 2, "pool": False},
        "seed": 1,
        "epochs": 2,
        "batch_size": 16,
        "shift": 1,
    }
    return Recipe.model_validate(fields | changes)


@pytest.fixture(scope="session")
def splits() -> tuple[Split, Split]:
    """Training and validation split of two classes."""
    return make_split("train", torch.arange(64) % 2, 0), make_split("val", torch.arange(24) % 2, 1)


@pytest.fixture
def run(splits: tuple[Split, Split], tmp_path: Path) -> Callable[..., TrainingReport]:
    """Train: ``run(splits=None, **changes of the recipe)``."""
    count = iter(range(100))

    def _run(data: tuple[Split, Split] | None = None, **changes: object) -> TrainingReport:
        return train(make_recipe(**changes), make_card(), data or splits, tmp_path / f"{next(count)}.safetensors")

    return _run
