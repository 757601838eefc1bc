"""Whatever bytes stand in a manifest, weight file or checkpoint, the answer is what it holds, or one sentence."""

import io
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmark.errors import BenchError
from benchmark.submission.checkpoint import Checkpoint, read_checkpoint
from benchmark.submission.manifest import Manifest, read_manifest
from benchmark.submission.weights import read_weights, to_bytes

SOUND = """
name = "mine"
title = "Mine"
authors = ["A test"]
task = "classification"
datasets = ["tiny"]
architecture = "x"
defense_family = "none"
revision = 1
"""
torch.manual_seed(0)
WEIGHTS = to_bytes(nn.Linear(3, 2))


def saved(**options: bool) -> bytes:
    """A checkpoint as PyTorch saves it."""
    stream = io.BytesIO()
    torch.save({"state_dict": nn.Linear(3, 2).state_dict(), "epoch": 3}, stream, **options)
    return stream.getvalue()


CHECKPOINTS = {"new": saved(), "old": saved(_use_new_zipfile_serialization=False), "safetensors": WEIGHTS}


def manifest_of(content: bytes) -> Manifest | str:
    """Read a manifest with this content; return it, or the sentence that refuses it."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "mine"
        folder.mkdir()
        (folder / "submission.toml").write_bytes(content)
        try:
            return read_manifest(folder)
        except BenchError as error:
            return str(error)


def weights_of(content: bytes) -> dict[str, torch.Tensor] | str:
    """Read a weight file with this content; return its tensors, or the sentence that refuses it."""
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / "w.safetensors"
        path.write_bytes(content)
        try:
            return read_weights(path)
        except BenchError as error:
            return str(error)


def checkpoint_of(content: bytes) -> Checkpoint | str:
    """Read a checkpoint with this content; return it, or the sentence that refuses it."""
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / "x.pth"
        path.write_bytes(content)
        try:
            return read_checkpoint(path)
        except BenchError as error:
            return str(error)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_manifest(content: bytes) -> None:
    assert "submission.toml" in str(manifest_of(content))


@given(
    field=st.sampled_from(["name", "title", "authors", "datasets", "revision", "entry_point", "stochastic", "weights"]),
    value=st.one_of(
        *(st.just(text) for text in ("[]", "{}", "true", "nan", "-1", "1e400", "''", "[[1]]", "2020-01-01")),
        st.text(
            st.characters(codec="ascii", exclude_characters="'\n\r", min_codepoint=32, max_codepoint=126), max_size=30
        ).map(lambda text: f"'{text}'"),
    ),
)
def test_a_field_of_any_kind_is_taken_or_refused_by_name(field: str, value: str) -> None:
    lines = [line for line in SOUND.strip().splitlines() if not line.startswith(f"{field} =")]
    said = manifest_of("\n".join([f"{field} = {value}", *lines]).encode())
    assert isinstance(said, Manifest) or field in said


@settings(max_examples=60)
@given(place=st.integers(0, len(WEIGHTS) - 1), byte=st.integers(0, 255))
def test_one_changed_byte_gives_finite_tensors_or_a_sentence(place: int, byte: int) -> None:
    said = weights_of(WEIGHTS[:place] + bytes([byte]) + WEIGHTS[place + 1 :])
    if isinstance(said, str):
        assert "w.safetensors" in said
    else:
        assert all(bool(torch.isfinite(value.float()).all()) for value in said.values())


@given(st.integers(0, len(WEIGHTS) - 1))
def test_a_cut_weight_file_is_refused(length: int) -> None:
    assert "is not a safetensors file" in str(weights_of(WEIGHTS[:length]))


def test_the_sound_ones_are_read() -> None:
    assert isinstance(manifest_of(SOUND.encode()), Manifest)
    assert set(weights_of(WEIGHTS)) == {"weight", "bias"}


def test_a_manifest_in_another_encoding_is_refused() -> None:
    said = manifest_of(SOUND.replace("Mine", "Röntgen").encode("latin-1"))
    assert "is not valid TOML" in str(said)


@pytest.mark.parametrize("name", ["con", "a_b", "x1"])
def test_a_manifest_must_have_its_folders_name(name: str) -> None:
    assert "make them equal" in str(manifest_of(SOUND.replace('"mine"', f'"{name}"').encode()))


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"PK", b"PK\x03\x04", b"\x80\x02", b"\x80\x04", b"\x10" + bytes(7) + b"{"]),
)
def test_arbitrary_bytes_are_no_checkpoint(content: bytes, start: bytes) -> None:
    assert "x.pth" in str(checkpoint_of(start + content))


@settings(max_examples=100)
@given(data=st.data(), kind=st.sampled_from(sorted(CHECKPOINTS)))
def test_one_changed_byte_of_a_checkpoint_gives_tensors_or_a_sentence(data: st.DataObject, kind: str) -> None:
    content = CHECKPOINTS[kind]
    place = data.draw(st.integers(0, len(content) - 1))
    said = checkpoint_of(content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :])
    if isinstance(said, str):
        assert "x.pth" in said
        assert "\n" not in said
    else:
        assert said.groups


@given(data=st.data(), kind=st.sampled_from(sorted(CHECKPOINTS)))
def test_a_cut_checkpoint_is_refused(data: st.DataObject, kind: str) -> None:
    content = CHECKPOINTS[kind]
    said = checkpoint_of(content[: data.draw(st.integers(0, len(content) - 1))])
    assert isinstance(said, str)
    assert "x.pth" in said


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_the_sound_checkpoints_are_read(kind: str) -> None:
    said = checkpoint_of(CHECKPOINTS[kind])
    assert isinstance(said, Checkpoint)
    assert {name.split(".")[-1] for name in said.groups[0].tensors} == {"weight", "bias"}
