"""A data file is either the one that the card describes or refused in one sentence that says what it is."""

import hashlib
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


def test_deep_images_of_an_npz_file_are_read_where_the_card_says_so(
    save: Save, arrays: dict[str, Any], tmp_path: Path
) -> None:
    arrays["val_images"] = arrays["val_images"].astype(np.uint16) * 257
    card = save(arrays)
    assert card.npz is not None
    deep = card.model_copy(update={"npz": card.npz.model_copy(update={"bits": 16})})
    split = load_split(deep, "val", data_dir=tmp_path)
    assert torch.equal(split.images[:, 0], torch.from_numpy(arrays["val_images"].astype(np.float32)) / 65535)


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
        ("test_images", np.zeros((5, 8, 8), dtype=np.uint16), "must be uint8 in 0 to 255; convert them, or give bits"),
        ("test_images", np.zeros((5, 9, 8), dtype=np.uint8), "the card says (5, 8, 8)"),
        ("test_images", np.zeros((4, 8, 8), dtype=np.uint8), "the card says (5, 8, 8)"),
        ("test_images", np.zeros((5, 8, 8, 3), dtype=np.uint8), "the card says (5, 8, 8)"),
        ("test_labels", np.zeros(5, dtype=np.float32), "must be integers"),
        ("test_labels", np.zeros((5, 2), dtype=np.uint8), "must be integers"),
        ("test_labels", np.full(5, 2), "range from 2 to 2"),
        ("test_labels", np.array([0, 1, -1, 0, 1]), "range from -1 to 1"),
        ("test_ids", np.array(["a"] * 5), "used twice"),
        ("test_ids", np.array(["a", "b"]), "5 images need 5 ids"),
        ("test_images", np.array([{}] * 5, dtype=object), "array 'test_images' holds Python objects"),
        ("test_ids", np.array(["a", "b", "c", "d", "e"], dtype=object), "without pickle; save it as plain"),
        ("test_images", np.zeros((0, 8, 8), dtype=np.uint8), "the card says (5, 8, 8)"),
        ("test_labels", np.zeros((5, 1, 1), dtype=np.uint8), "must be integers"),
        ("test_labels", np.zeros((1, 5), dtype=np.uint8), "must be integers"),
        ("test_labels", np.zeros(5, dtype=bool), "must be integers"),
        ("test_labels", np.zeros((5, 14), dtype=np.uint8), "several labels per image (multi-label) are not judged"),
        ("test_labels", np.eye(2)[[0, 1, 0, 1, 0]], "of one-hot rows take the argmax"),
        ("test_labels", np.full(5, 2**64 - 1, dtype=np.uint64), "range from 18446744073709551615"),
        ("test_ids", np.arange(5.0), "ids are float64 (5,) but must be text or integers"),
        ("test_ids", np.arange(10).reshape(5, 2), "ids are int64 (5, 2)"),
        ("test_ids", np.array([b"\xff", b"b", b"c", b"d", b"e"]), "not valid UTF-8"),
        ("test_ids", np.array(["\ud800", "b", "c", "d", "e"]), "not valid UTF-8"),
        ("test_ids", np.array(["a", "b", "", "d", "e"]), "an empty name at index 2"),
    ],
)
def test_an_array_that_contradicts_the_card_is_refused(
    save: Save, arrays: dict[str, Any], tmp_path: Path, key: str, value: Any, complaint: str
) -> None:
    arrays[key] = value
    assert complaint in _refused(save(arrays), tmp_path)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (np.zeros((5, 8, 8), dtype=bool), "masks are bool"),
        (np.zeros((5, 8, 8), dtype=">u2"), "masks are >u2"),
        (np.full((5, 8, 8), "x"), "masks are <U1"),
        (np.zeros((5, 8, 8, 1), dtype=np.uint8), "must be uint8 (5, 8, 8) with values 0 and 1"),
        (np.full((5, 8, 8), 255, dtype=np.uint8), "with values 0 and 1"),
    ],
)
def test_masks_that_contradict_the_card_are_refused(
    save: Save, arrays: dict[str, Any], tmp_path: Path, value: Any, complaint: str
) -> None:
    card = save(arrays | {"test_masks": value}, ("[npz]", '[npz]\nmasks = "{split}_masks"'))
    assert complaint in _refused(card, tmp_path)


@pytest.mark.parametrize(
    ("groups", "complaint"), [(np.array(["a", "b"]), "5 images need 5 ids and groups"), (np.zeros(5), "groups are")]
)
def test_groups_that_do_not_fit_are_refused(
    save: Save, arrays: dict[str, Any], tmp_path: Path, groups: Any, complaint: str
) -> None:
    card = save(arrays | {"test_patients": groups}, ("[npz]", '[npz]\ngroups = "{split}_patients"'))
    assert complaint in _refused(card, tmp_path)


def test_byte_order_memory_order_and_width_of_numbers_do_not_matter(
    save: Save, arrays: dict[str, Any], tmp_path: Path
) -> None:
    arrays["val_images"] = np.asfortranarray(arrays["val_images"])
    arrays["val_labels"] = arrays["val_labels"].astype(">i4")
    split = load_split(save(arrays), "val", data_dir=tmp_path)
    assert torch.equal(split.images[:, 0], torch.from_numpy(arrays["val_images"].copy()).float() / 255)
    assert split.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (np.array(["é/1".encode(), b"b", b"c", b"d"]), ("é/1", "b", "c", "d")),
        (np.array([[7], [8], [9], [10]], dtype=">u2"), ("7", "8", "9", "10")),
    ],
)
def test_ids_may_be_bytes_or_integers(
    save: Save, arrays: dict[str, Any], tmp_path: Path, ids: Any, told: tuple[str, ...]
) -> None:
    assert load_split(save(arrays | {"val_ids": ids}), "val", data_dir=tmp_path).ids == told


def _accepted(content: bytes, make_card: Save, folder: Path) -> Card:
    """A card whose checksum is that of this very content: somebody hashed a damaged file."""
    (folder / "tiny.npz").write_bytes(content)
    return make_card(hashlib.sha256(content).hexdigest())


def test_a_single_array_under_the_name_of_an_npz_is_called_so(make_card: Save, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    assert "is one npy array" in _refused(_accepted((tmp_path / "one.npy").read_bytes(), make_card, tmp_path), tmp_path)


def test_a_file_that_is_no_zip_is_called_so_even_where_the_card_accepts_it(make_card: Save, tmp_path: Path) -> None:
    assert "is not an npz file; save" in _refused(_accepted(b"image,label\n", make_card, tmp_path), tmp_path)


def test_a_git_lfs_pointer_is_called_so_even_where_the_card_accepts_it(make_card: Save, tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    message = _refused(_accepted(pointer, make_card, tmp_path), tmp_path)
    assert "is a Git LFS pointer, not the file; run 'git lfs pull'" in message


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_array_is_named(arrays: dict[str, Any], make_card: Save, tmp_path: Path, compressed: bool) -> None:
    (np.savez_compressed if compressed else np.savez)(tmp_path / "whole.npz", **arrays)
    content = bytearray((tmp_path / "whole.npz").read_bytes())
    member = content.index(b"test_images.npy") + 300
    content[member : member + 40] = b"\x55" * 40
    message = _refused(_accepted(bytes(content), make_card, tmp_path), tmp_path)
    assert "array 'test_images' cannot be read" in message
    assert "save the file again" in message


def test_an_encrypted_array_is_named(arrays: dict[str, Any], make_card: Save, tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", **arrays)
    content = bytearray((tmp_path / "whole.npz").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of both headers of a member
        start = -1
        while (start := content.find(signature, start + 1)) >= 0:
            content[start + offset] |= 1
    message = _refused(_accepted(bytes(content), make_card, tmp_path), tmp_path)
    assert "array 'test_images' is encrypted; save the file without a password" in message


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
