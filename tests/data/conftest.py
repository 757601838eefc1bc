"""Cards and files that are made for a test, and a cache folder that is no user's."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.data.card import Card, read_card
from benchmark.root import Root

PROJECT = Path(__file__).resolve().parents[2]

CARD = """
name = "tiny"
title = "Tiny"
modality = "none"
task = "binary"
classes = ["no", "yes"]
size = 8
channels = 1
source = "made for a test"
licence = "none"
citation = "none"
loader = "npz"
patient_ids = true

[splits]
train = 6
val = 4
test = 5

[[files]]
name = "tiny.npz"
sha256 = ["{sha256}"]
how_to_get = "ask the test"

[npz]
ids = "{{split}}_ids"

[official]
count = 3
drawn = "by rule"
"""


@pytest.fixture(scope="session")
def root() -> Root:
    return Root(PROJECT)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep drawn films for the session, away from the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture
def arrays() -> dict[str, Any]:
    """Arrays of a sound file, to be spoilt."""
    made: dict[str, Any] = {}
    for seed, (split, count) in enumerate({"train": 6, "val": 4, "test": 5}.items()):
        made[f"{split}_images"] = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), dtype=np.uint8)
        made[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
        made[f"{split}_ids"] = np.array([f"{split}_{i}" for i in range(count)])
    return made


@pytest.fixture
def make_card(tmp_path: Path) -> Callable[..., Card]:
    """Return a function that reads a card, whose text may be changed by pairs (old, new)."""

    def make(sha256: str = "0" * 64, *changes: tuple[str, str]) -> Card:
        folder = tmp_path / "datasets" / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        text = CARD.format(sha256=sha256)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (folder / "dataset.toml").write_text(text)
        return read_card(folder)

    return make


@pytest.fixture
def save(tmp_path: Path, make_card: Callable[..., Card]) -> Callable[..., Card]:
    """Return a function that saves arrays as ``tmp_path/tiny.npz`` and returns a card that accepts this very file."""

    def make(arrays: dict[str, Any], *changes: tuple[str, str]) -> Card:
        np.savez(tmp_path / "tiny.npz", **arrays)
        return make_card(hashlib.sha256((tmp_path / "tiny.npz").read_bytes()).hexdigest(), *changes)

    return make
