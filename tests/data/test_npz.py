"""Large arrays of npz files are mapped from disk, compressed ones from a copy, and are what the file holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.data import npz
from benchmark.errors import BenchError
from benchmark.root import user_cache

ARRAYS = {
    "images": np.random.default_rng(0).integers(0, 256, (9, 8, 6), dtype=np.uint8),
    "turned": np.asfortranarray(np.arange(12, dtype=np.uint16).reshape(3, 4)),
}


@pytest.fixture(autouse=True)
def _every_array_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "HELD_BYTES", 0)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ARRAYS)
def test_a_large_array_is_mapped(save: Callable[..., None], name: str, tmp_path: Path) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    for _ in range(2):
        found = npz.read_arrays(tmp_path / "a.npz", {"x": name})["x"]
        assert isinstance(found, np.memmap)
        assert np.array_equal(found, ARRAYS[name])


def test_half_a_copy_is_made_anew(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", mine=ARRAYS["images"][::-1])
    before = set((user_cache() / "arrays").glob("*")) if (user_cache() / "arrays").is_dir() else set()
    npz.read_arrays(tmp_path / "a.npz", {"x": "mine"})
    (copy,) = set((user_cache() / "arrays").glob("*")) - before
    copy.write_bytes(copy.read_bytes()[:100])
    assert np.array_equal(npz.read_arrays(tmp_path / "a.npz", {"x": "mine"})["x"], ARRAYS["images"][::-1])


def test_without_room_for_a_copy_the_array_is_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(npz, "_extract", full)
    np.savez_compressed(tmp_path / "a.npz", other=ARRAYS["images"] + 1)
    found = npz.read_arrays(tmp_path / "a.npz", {"x": "other"})["x"]
    assert not isinstance(found, np.memmap)
    assert np.array_equal(found, ARRAYS["images"] + 1)


def test_a_large_array_of_python_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BenchError, match="holds Python objects"):
        npz.read_arrays(tmp_path / "a.npz", {"x": "images"})
