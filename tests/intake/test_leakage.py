"""The gate finds a picture again that was compressed, brightened or resized, and takes no two films for one."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.intake.bring_in import Wish, import_folder
from benchmark.intake.found import Found
from benchmark.intake.leakage import gate, gate_of, thumbnail, twins
from benchmark.root import Root

from .pictures import pattern


def _compressed(pixels: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=60)
    return np.asarray(Image.open(stream))


CHANGES = {
    "itself": lambda pixels: pixels,
    "compressed": _compressed,
    "brighter": lambda pixels: np.clip(pixels * 0.8 + 40, 0, 255).astype(np.uint8),
    "smaller": lambda pixels: np.asarray(Image.fromarray(pixels).resize((48, 40), Image.Resampling.BILINEAR)),
    "sixteen bits": lambda pixels: pixels.astype(np.uint16) * 257,
    "coloured": lambda pixels: np.repeat(pixels[..., None], 3, axis=2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_other_pictures(change: str) -> None:
    pictures = [pattern(f"picture {number}", 96, 96) for number in range(300)]
    thumbnails = np.stack([thumbnail(one) for one in (*pictures, CHANGES[change](pictures[123]))])
    assert twins(thumbnails, range(300), [300]) == {300: 123}
    assert twins(thumbnails, range(150), range(150, 300)) == {}


def test_equal_pictures_without_any_contrast_are_the_same() -> None:
    thumbnails = np.stack([np.full((32, 32), value, dtype=np.uint8) for value in (7, 7, 8)])
    assert twins(thumbnails, [0], [1, 2]) == {1: 0}


def test_within_a_split_the_first_of_the_same_pictures_stays() -> None:
    thumbnails = np.stack([thumbnail(pattern(name)) for name in ("a", "b", "a", "a")])
    places = [0, 1, 2, 3]
    assert set(twins(thumbnails, places, places)) == {2, 3}


def _images(*told: tuple[str, str, str]) -> tuple[list[Found], np.ndarray]:
    images = [Found(f"{i}.png", "x", patient, split) for i, (_, patient, split) in enumerate(told)]  # type: ignore[arg-type]
    return images, np.stack([thumbnail(pattern(picture)) for picture, _, _ in told])


def test_the_gate_says_what_splits_share_and_leaves_twins_out_of_the_subset() -> None:
    found = gate(
        *_images(("a", "p", "train"), ("a", "q", "test"), ("b", "r", "val"), ("c", "r", "test"), ("c", "s", "test"))
    )
    assert len(found.sentences) == 2
    assert found.sentences[0].startswith("1 patient with images in two splits or more, such as r")
    assert found.sentences[1] == "1 image of test nearly the same as one of train, such as 1.png and 0.png."
    assert found.excluded == ["1.png", "4.png"]


def test_clean_splits_are_not_marked() -> None:
    found = gate(*_images(("a", "p", "train"), ("b", "q", "test"), ("c", "r", "val")))
    assert (found.sentences, found.excluded) == ([], [])


def test_real_films_of_different_patients_are_not_taken_for_one(shared_films: Path) -> None:
    held = np.load(shared_films)
    thumbnails = np.stack([thumbnail(image) for name in ("train", "test") for image in held[f"{name}_images"]])
    count = len(held["train_images"])
    assert twins(thumbnails, range(count), range(count, len(thumbnails))) == {}


@pytest.fixture
def shared_films() -> Path:
    import os

    path = Path(os.environ.get("BENCH_DATA", "")) / "cxr2_224.npz"
    if not path.is_file():
        pytest.skip("the films are not here")
    return path


def test_splits_of_a_card_are_looked_at_too(board: Root, films: Path) -> None:
    card = import_folder(board, Wish(films, name="mine", size=(24, 20))).card
    assert gate_of(card, board).sentences == []
    stored = board.data / "mine"
    images = np.load(stored / "test_images.npy")
    images[0] = np.load(stored / "train_images.npy")[0]
    np.save(stored / "test_images.npy", images)
    digest = hashlib.sha256((stored / "test_images.npy").read_bytes()).hexdigest()
    files = [
        file.model_copy(update={"sha256": [digest]}) if file.name == "test_images.npy" else file for file in card.files
    ]
    found = gate_of(card.model_copy(update={"files": files}), board)
    assert len(found.sentences) == len(found.excluded) == 1
    assert found.sentences[0].startswith("1 image of test nearly the same as one of train, such as test/")
