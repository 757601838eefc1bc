"""Images stay whole numbers where they lie until a batch asks for them, and are the same floats from everywhere."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.data import split as split_module
from benchmark.data.hashes import file_digest, file_identity, remembered
from benchmark.data.images import HeldImages, StoredImages, stored_array
from benchmark.data.split import Split
from benchmark.root import user_cache

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
FLOATS = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).copy()).float() / 255


def _split(images: object) -> Split:
    names = tuple(f"i{i}" for i in range(7))
    return Split("d", "test", images, torch.arange(7) % 2, names, names, ("a", "b"))  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 6), max_size=9), st.permutations(range(7)))
def test_stored_and_held_images_answer_alike(places: list[int], order: list[int]) -> None:
    for source in (stored_array(PIXELS), HeldImages(FLOATS)):
        part = source.subset(order)
        assert part.shape == (7, 3, 5, 4)
        assert torch.equal(part[places], FLOATS[order][places])
        assert torch.equal(part[torch.tensor(places, dtype=torch.long)], FLOATS[order][places])
        assert torch.equal(part[1:6:2], FLOATS[order][1:6:2])
        assert torch.equal(part[3], FLOATS[order][3])


def test_the_largest_value_of_sixteen_bits_is_white() -> None:
    deep = np.array([0, 257, 65535], dtype=np.uint16).reshape(1, 1, 3)
    assert stored_array(deep)[:].flatten().tolist() == pytest.approx([0, 1 / 255, 1])


def test_a_subset_reads_nothing_and_a_batch_only_its_own_images() -> None:
    asked: list[list[int]] = []

    def read(places: np.ndarray) -> np.ndarray:
        asked.append(places.tolist())
        return PIXELS[places]

    whole = _split(StoredImages(read, (3, 5, 4), np.arange(7)))
    part = whole.subset([6, 2, 4]).by_ids(["i4", "i6"])
    assert asked == []
    assert torch.equal(part.pixels[1:], FLOATS[[6]])
    assert torch.equal(part.images, FLOATS[[4, 6]])
    assert asked == [[6], [4, 6]]


def test_the_hash_is_that_of_the_floats_wherever_the_images_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.data.images.PIECE_BYTES", 2 * 4 * 60)  # pieces of two images
    assert _split(stored_array(PIXELS)).content_hash == _split(FLOATS).content_hash


def test_other_labels_leave_the_images_where_they_lie() -> None:
    whole = _split(stored_array(PIXELS))
    other = whole.relabelled(1 - whole.labels)
    assert other.pixels is whole.pixels
    assert other.labels.tolist() == [1, 0, 1, 0, 1, 0, 1]


def _mapped(path: Path) -> Split:
    return _split(stored_array(np.load(path, mmap_mode="r"), file_identity(path)))


def _saved(path: Path, pixels: np.ndarray, age: float) -> None:
    np.save(path, pixels)
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


def test_the_hash_of_a_large_split_is_kept_until_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_module, "WORTH_KEEPING", 0)
    path = tmp_path / "a.npy"
    _saved(path, PIXELS, age=60)
    first = _mapped(path).content_hash
    assert first == _split(FLOATS).content_hash
    monkeypatch.setattr(Split, "_hashed", lambda _: "kept nothing")
    assert _mapped(path).content_hash == first
    assert _mapped(path).subset([1, 0]).content_hash == "kept nothing"
    _saved(path, 255 - PIXELS, age=30)
    assert _mapped(path).content_hash == "kept nothing"


def test_a_mapped_split_reaches_another_process_without_its_images(tmp_path: Path) -> None:
    _saved(tmp_path / "a.npy", np.repeat(PIXELS, 40, axis=1), age=60)
    source = stored_array(np.load(tmp_path / "a.npy", mmap_mode="r")).subset([5, 2])
    sent = pickle.dumps(source)
    assert len(sent) < 2000 < PIXELS.nbytes * 40
    assert torch.equal(pickle.loads(sent)[:], source[:])
    assert torch.equal(pickle.loads(pickle.dumps(stored_array(PIXELS)))[:], FLOATS)


def test_the_hash_of_a_file_written_a_moment_ago_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    assert file_identity(path) == ""
    first = file_digest(path, "sha256")
    path.write_bytes(b"two")
    assert file_digest(path, "sha256") != first


def test_a_damaged_note_of_a_hash_is_computed_again() -> None:
    assert remembered("something", lambda: "abc") == "abc"
    (note,) = [path for path in (user_cache() / "hashes").iterdir() if path.read_text() == "abc"]
    note.write_text("not a hash")
    assert remembered("something", lambda: "def") == "def"
