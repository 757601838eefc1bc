"""A data file is either the one that the card describes or refused in one sentence that says what it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.data.card import Card
from benchmark.data.registry import availability, load_split, prepare
from benchmark.errors import BenchError

Save = Callable[..., Card]


def _refused(card: Card, folder: Path, split: str = "test") -> str:
    with pytest.raises(BenchError) as caught:
        load_split(card, split, data_dir=folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_a_sound_file_is_loaded_as_floats_with_its_ids(save: Save, arrays: dict[str, Any], tmp_path: Path) -> None:
    split = load_split(save(arrays), "val", data_dir=tmp_path)
    assert split.images.shape == (4, 1, 8, 8)
    assert torch.equal(split.images[:, 0], torch.from_numpy(arrays["val_images"]).float() / 255)
    assert split.labels.tolist() == [0, 1, 0, 1]
    assert split.ids == split.groups == ("val_0", "val_1", "val_2", "val_3")


def test_colour_images_become_channels_first(save: Save, arrays: dict[str, Any], tmp_path: Path) -> None:
    colour = np.random.default_rng(5).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    split = load_split(
        save(arrays | {"val_images": colour}, ("channels = 1", "channels = 3")), "val", data_dir=tmp_path
    )
    assert split.images.shape == (4, 3, 8, 8)
    assert split.images[1, 2, 3, 4] == pytest.approx(colour[1, 3, 4, 2] / 255)


def test_groups_and_masks_are_loaded_where_the_card_names_them(
    save: Save, arrays: dict[str, Any], tmp_path: Path
) -> None:
    masks = np.zeros((4, 8, 8), dtype=np.uint8)
    masks[2, 3, 4] = 1
    extra = {"val_masks": masks, "val_patients": np.array(["a", "a", "b", "c"])}
    keys = '[npz]\nmasks = "{split}_masks"\ngroups = "{split}_patients"'
    split = load_split(save(arrays | extra, ("[npz]", keys)), "val", data_dir=tmp_path)
    assert split.groups == ("a", "a", "b", "c")
    assert split.masks is not None
    assert split.masks.nonzero().tolist() == [[2, 3, 4]]


def test_a_missing_file_says_how_to_get_it(make_card: Save, tmp_path: Path) -> None:
    assert "needs tiny.npz" in _refused(make_card(), tmp_path)
    assert availability(make_card(), tmp_path).state == "missing"
    assert "ask the test" in availability(make_card(), tmp_path).sentence


def test_another_file_has_the_wrong_checksum(
    save: Save, make_card: Save, arrays: dict[str, Any], tmp_path: Path
) -> None:
    save(arrays)
    assert "wrong checksum" in _refused(make_card("1" * 64), tmp_path)
    assert availability(make_card("1" * 64), tmp_path).state == "broken"


def test_one_flipped_bit_is_the_wrong_checksum(save: Save, arrays: dict[str, Any], tmp_path: Path) -> None:
    card = save(arrays)
    content = bytearray((tmp_path / "tiny.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "tiny.npz").write_bytes(content)
    assert "wrong checksum" in _refused(card, tmp_path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_called_truncated(save: Save, arrays: dict[str, Any], tmp_path: Path, kept: float) -> None:
    card = save(arrays)
    content = (tmp_path / "tiny.npz").read_bytes()
    (tmp_path / "tiny.npz").write_bytes(content[: int(kept * len(content))])
    assert "is truncated" in _refused(card, tmp_path)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"<!DOCTYPE html>\n<html>404</html>", "web page"),
        (b"\xef\xbb\xbf\n <html></html>", "web page"),
        (b"", "is empty"),
        (b"\x93NUMPY", "not an npz file"),
    ],
)
def test_something_else_saved_as_npz_is_called_what_it_is(
    make_card: Save, tmp_path: Path, content: bytes, name: str
) -> None:
    (tmp_path / "tiny.npz").write_bytes(content)
    assert name in _refused(make_card(), tmp_path)


def test_a_missing_array_is_named(save: Save, arrays: dict[str, Any], tmp_path: Path) -> None:
    del arrays["test_labels"]
    message = _refused(save(arrays), tmp_path)
    assert "no array 'test_labels'" in message
    assert "test_images" in message


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("test_images", np.zeros((5, 8, 8), dtype=np.float32), "must be uint8"),
        ("test_images", np.zeros((5, 9, 8), dtype=np.uint8), "the card says (5, 8, 8)"),
        ("test_images", np.zeros((4, 8, 8), dtype=np.uint8), "the card says (5, 8, 8)"),
        ("test_images", np.zeros((5, 8, 8, 3), dtype=np.uint8), "the card says (5, 8, 8)"),
        ("test_labels", np.zeros(5, dtype=np.float32), "must be integers"),
        ("test_labels", np.zeros((5, 2), dtype=np.uint8), "must be integers"),
        ("test_labels", np.full(5, 2), "range from 2 to 2"),
        ("test_labels", np.array([0, 1, -1, 0, 1]), "range from -1 to 1"),
        ("test_ids", np.array(["a"] * 5), "used twice"),
        ("test_ids", np.array(["a", "b"]), "5 images need 5 ids"),
        ("test_images", np.array([{}] * 5, dtype=object), "without pickle"),
    ],
)
def test_an_array_that_contradicts_the_card_is_refused(
    save: Save, arrays: dict[str, Any], tmp_path: Path, key: str, value: Any, complaint: str
) -> None:
    arrays[key] = value
    assert complaint in _refused(save(arrays), tmp_path)


def test_an_unknown_split_gets_a_suggestion(make_card: Save, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="Did you mean 'train'"):
        load_split(make_card(), "trian", data_dir=tmp_path)


def test_an_npz_set_cannot_be_fetched_for_the_user(make_card: Save, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="ask the test"):
        prepare(make_card(), tmp_path)


def test_preparing_never_replaces_a_file_that_is_there(make_card: Save, tmp_path: Path) -> None:
    (tmp_path / "tiny.npz").write_bytes(b"mine")
    with pytest.raises(BenchError, match="not an npz file"):
        prepare(make_card(), tmp_path)
    assert (tmp_path / "tiny.npz").read_bytes() == b"mine"
