"""Entering weights in a manifest: its table and nothing else."""

import pytest

from benchmark.errors import BenchError
from benchmark.submission.manifest import read_manifest
from benchmark.submission.registration import register_weights

HEAD = """# A comment that must stay.
name = "mine"
title = "Mine"
authors = ["A test"]
task = "classification"
datasets = ["one", "two"]   # both
architecture = "any"
defense_family = "none"
revision = 1
"""
ONE = f'\n[weights.one]\nfile = "one.safetensors"\nsha256 = "{"1" * 64}"\n'
PAPER = '\n[paper]\ntitle = "T"\nauthors = ["A"]\nvenue = "V"\nyear = 2020\nbibtex = "@a{b}"\n'
NEW = "a" * 64


@pytest.fixture
def write(tmp_path):
    """Write the manifest; returns its folder."""
    folder = tmp_path / "mine"
    folder.mkdir()

    def _write(text):
        (folder / "submission.toml").write_text(text)
        return folder

    return _write


def text_of(folder):
    return (folder / "submission.toml").read_text()


def test_a_first_table_is_added_at_the_end(write):
    folder = write(HEAD)
    register_weights(folder, "two", "two.safetensors", NEW)
    assert text_of(folder).startswith(HEAD)
    assert read_manifest(folder).weights["two"].sha256 == NEW


@pytest.mark.parametrize(
    "after",
    [
        "\n# about the paper\n" + PAPER,
        "# no blank line\n" + PAPER,
        "",
        PAPER,
        "\n\n" + PAPER,
        '\n[weights.two]\nfile="t.safetensors"\nsha256="' + "2" * 64 + '"\n',
    ],
)
def test_an_old_table_is_replaced_where_it_stands_and_the_rest_is_left_as_it_was(write, after):
    folder = write(HEAD + ONE + after)
    register_weights(folder, "one", "one.safetensors", NEW)
    assert text_of(folder).rstrip() == (HEAD + ONE + after).replace("1" * 64, NEW).rstrip()


def test_registering_twice_changes_nothing(write):
    folder = write(HEAD + ONE + PAPER)
    register_weights(folder, "one", "one.safetensors", NEW)
    once = text_of(folder)
    register_weights(folder, "one", "one.safetensors", NEW)
    assert text_of(folder) == once


@pytest.mark.parametrize(
    ("dataset", "file", "sha256"),
    [
        ("three", "x.safetensors", NEW),
        ("one", "x.pt", NEW),
        ("one", "../x.safetensors", NEW),
        ("one", "x.safetensors", "abc"),
    ],
)
def test_what_would_make_the_manifest_invalid_is_refused_and_the_file_stays(write, dataset, file, sha256):
    folder = write(HEAD + ONE)
    with pytest.raises(BenchError):
        register_weights(folder, dataset, file, sha256)
    assert text_of(folder) == HEAD + ONE


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(BenchError, match=r"has no submission\.toml"):
        register_weights(tmp_path, "one", "one.safetensors", NEW)
