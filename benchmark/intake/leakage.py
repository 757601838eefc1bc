"""The leakage gate: the same patient, or nearly the same picture, in two splits.

A picture is compared by its thumbnail of 32 x 32 grey values: two are nearly the same where their perceptual hashes
(whether each of the 8 x 8 lowest cosine frequencies is above their median) differ in at most 4 of 64 bits, and the
thumbnails correlate to at least 0.995. This finds all of 216 known pairs of duplicates among chest films and
dermoscopic images; the hash alone would also find hundreds of different patients, since chest films look alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from benchmark.data.card import SPLITS, Card
from benchmark.data.registry import load_split
from benchmark.data.split import Split
from benchmark.intake.found import Found
from benchmark.intake.splitting import torn_patients
from benchmark.root import Root

Array = NDArray[Any]

SIDE = 32
LOW = 8
BITS_APART = 4
CORRELATION = 0.995
ROWS_AT_ONCE = 256


def thumbnail(pixels: Array) -> Array:
    """Return 32 x 32 grey values, uint8, of an image (H, W) or (H, W, 3) of uint8 or uint16."""
    eight = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    return np.asarray(Image.fromarray(eight).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def perceptual_hashes(thumbnails: Array) -> Array:
    """Return a uint64 for each of the thumbnails (N, 32, 32)."""
    found = [_hashes(thumbnails[first : first + 4096]) for first in range(0, len(thumbnails), 4096)]
    return np.concatenate(found) if found else np.zeros(0, np.uint64)


def _hashes(thumbnails: Array) -> Array:
    low = dctn(thumbnails.astype(np.float32), axes=(1, 2), norm="ortho")[:, :LOW, :LOW].reshape(len(thumbnails), -1)
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def twins(thumbnails: Array, known: Sequence[int], asked: Sequence[int]) -> dict[int, int]:
    """For each of the places ``asked`` whose picture is nearly the same as an earlier one's of ``known``, that one.

    Args:
        thumbnails: (N, 32, 32) uint8.
        known: places of one split.
        asked: places of another; where the two are the same, each picture is compared with those before it.
    """
    among, those = (np.asarray(places, dtype=np.int64) for places in (known, asked))
    hashes = perceptual_hashes(thumbnails[among]), perceptual_hashes(thumbnails[those])
    found: dict[int, int] = {}
    for begin in range(0, len(those), ROWS_AT_ONCE):
        apart = np.bitwise_count(hashes[1][begin : begin + ROWS_AT_ONCE, None] ^ hashes[0][None])
        for row in np.nonzero((apart <= BITS_APART).any(axis=1))[0]:
            place, distances = int(those[begin + row]), apart[row]
            near = among[distances <= BITS_APART]
            near = near[near < place] if known is asked else near
            alike = near[_correlations(thumbnails[near], thumbnails[place]) >= CORRELATION]
            if len(alike):
                found[place] = int(alike[0])
    return found


def _correlations(many: Array, one: Array) -> Array:
    """Correlation of each of the thumbnails (n, 32, 32) with one; 1 with an equal one, whatever it shows."""
    rows = many.reshape(len(many), SIDE * SIDE).astype(np.float32)
    row = one.ravel().astype(np.float32)
    equal = (rows == row).all(axis=1)
    rows, row = rows - rows.mean(axis=1, keepdims=True), row - row.mean()
    lengths = np.sqrt((rows * rows).sum(axis=1) * (row @ row))
    return np.where(equal, 1.0, (rows @ row) / np.maximum(lengths, 1e-6))


@dataclass(frozen=True)
class Leakage:
    """What splits share.

    Attributes:
        sentences: for the card, empty where they share nothing.
        excluded: ids of test images that are nearly the same as one of another split, or as an earlier test image.
    """

    sentences: list[str]
    excluded: list[str]


def gate(images: Sequence[Found], thumbnails: Array) -> Leakage:
    """Look for patients and pictures that two splits share.

    Args:
        images: with their splits.
        thumbnails: (N, 32, 32) uint8, of these images.
    """
    sentences = []
    torn = torn_patients(images)
    if torn:
        sentences.append(
            f"{_count(len(torn), 'patient')} with images in two splits or more, such as {torn[0]}; figures on this set "
            "are too good."
        )
    places: dict[str, list[int]] = {split: [] for split in SPLITS}
    for place, image in enumerate(images):
        places[str(image.split)].append(place)
    excluded: set[int] = set()
    for known, asked in (("train", "test"), ("val", "test"), ("train", "val")):
        found = twins(thumbnails, places[known], places[asked])
        if found:
            place, twin = next(iter(found.items()))
            sentences.append(
                f"{_count(len(found), 'image')} of {asked} nearly the same as one of {known}, such as "
                f"{images[place].file} and {images[twin].file}."
            )
        if asked == "test":
            excluded |= set(found)
    excluded |= set(twins(thumbnails, places["test"], places["test"]))
    return Leakage(sentences, sorted(images[place].file for place in excluded))


def gate_of(card: Card, root: Root, data_dir: Path | None = None) -> Leakage:
    """Look at the splits of a data set that has a card.

    Raises:
        BenchError: its data are not here.
    """
    images: list[Found] = []
    thumbnails = []
    for name in SPLITS:
        if card.splits.of(name):
            split = load_split(card, name, root, data_dir)
            # Labels play no part; ids are unique within a split only.
            images += [Found(f"{name}/{image}", "", group, name) for image, group in _named(split)]
            for piece in split.pixels.pieces():
                pixels = (split.pixels[piece] * 255).round().byte().permute(0, 2, 3, 1).squeeze(3).numpy()
                thumbnails += [thumbnail(image) for image in pixels]
    return gate(images, np.stack(thumbnails))


def _named(split: Split) -> Iterator[tuple[str, str]]:
    """Ids and patients; an image without a patient stands for itself in its own split."""
    for image, group in zip(split.ids, split.groups, strict=True):
        yield image, f"{split.name}/{image}" if group == image else group


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
