"""The synthetic set as splits: drawn once, then kept in the user's cache."""

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmark.data.card import Card, SplitName
from benchmark.data.images import stored_array
from benchmark.data.split import Split
from benchmark.data.synthetic import CLASSES, FINDINGS, VERSION, Films, draw_films
from benchmark.errors import BenchError
from benchmark.root import user_cache


def load_synthetic(card: Card, split: SplitName) -> Split:
    """Return a split of synthetic films, from the cache or drawn anew.

    Raises:
        BenchError: the card's classes are not those that the generator draws.
    """
    if tuple(card.classes) != CLASSES or card.shape != (1, card.height, card.height):
        raise BenchError(
            f"card '{card.name}': the synthetic loader draws squares of one channel and the classes "
            f"{', '.join(CLASSES)}; list exactly these."
        )
    count = card.splits.of(split)
    films = _cached_films(split, count, card.height)
    ids = tuple(f"{split}-{index:05d}" for index in range(count))
    return Split(
        dataset=card.name,
        name=split,
        images=stored_array(films.images),
        labels=torch.from_numpy(films.labels),
        ids=ids,
        groups=ids,
        classes=CLASSES,
        task=card.task,
        findings=torch.from_numpy(films.findings),
        masks=torch.from_numpy(films.masks),
    )


def _cached_films(split: str, count: int, size: int) -> Films:
    path = user_cache() / f"synthetic_cxr-v{VERSION}-{size}px-{split}-{count}.npz"
    films = _read(path, count, size)
    if films is None:
        films = draw_films(split, range(count), size)
        _write(path, films)
    return films


def _read(path: Path, count: int, size: int) -> Films | None:
    """Return the cached films, or None when there are none or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            films = Films(archive["images"], archive["labels"], archive["findings"], archive["masks"])
    except Exception:  # a damaged zip raises almost anything, and drawing anew mends it all
        return None
    shapes = [films.images.shape, films.labels.shape, films.findings.shape, films.masks.shape]
    good = shapes == [(count, size, size), (count,), (count, len(FINDINGS)), (count, size, size)]
    return films if good and films.images.dtype == np.uint8 else None


def _write(path: Path, films: Films) -> None:
    """Keep the films; a cache that cannot be written costs time, not the run."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez(stream, images=films.images, labels=films.labels, findings=films.findings, masks=films.masks)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
