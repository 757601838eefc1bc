"""Pictures of which no two are alike, and tables about them."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def pattern(name: str, height: int = 24, width: int = 20) -> np.ndarray:
    """A smooth grey picture (H, W) that hangs on the name alone; no two are alike."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path
