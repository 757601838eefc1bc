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


def test_comments_beside_and_between_the_fields_of_a_table_stay(write):
    table = f"\n[weights.one]\n# where\nfile   = \"one.safetensors\"  # here\nsha256 = '{'1' * 64}' # of it\n"
    folder = write(HEAD + table + PAPER)
    register_weights(folder, "one", "one.safetensors", NEW)
    assert text_of(folder) == (HEAD + table + PAPER).replace(f"'{'1' * 64}'", f'"{NEW}"')


INLINE = f'weights = {{ one = {{ file = "one.safetensors", sha256 = "{"1" * 64}" }} }} # all of them\n'
DOTTED = f'weights.one = {{ file = "one.safetensors", sha256 = "{"1" * 64}" }} # one line\n'
DEEPER = f'weights.one.file = "one.safetensors"\nweights.one.sha256 = "{"1" * 64}"\n'
HEADED = f'\n[weights]\none = {{ file = "one.safetensors", sha256 = "{"1" * 64}" }}\n'


@pytest.mark.parametrize("form", [INLINE, DOTTED, DEEPER, HEADED])
def test_inline_tables_and_dotted_names_are_edited_in_place(write, form):
    folder = write(HEAD + form + PAPER)
    register_weights(folder, "one", "one.safetensors", NEW)
    assert text_of(folder) == (HEAD + form + PAPER).replace("1" * 64, NEW)


@pytest.mark.parametrize("form", [INLINE, DOTTED, DEEPER, HEADED])
def test_a_second_data_set_fits_beside_inline_tables_and_dotted_names(write, form):
    folder = write(HEAD + form + PAPER)
    register_weights(folder, "two", "two.safetensors", NEW)
    found = read_manifest(folder)
    assert (found.weights["two"].sha256, found.weights["one"].sha256) == (NEW, "1" * 64)
    assert found.paper is not None
    assert HEAD in text_of(folder)
    assert "# all of them" in text_of(folder) or form is not INLINE


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("table", ["", ONE, INLINE])
def test_line_endings_and_byte_order_mark_of_windows_stay(write, mark, table):
    text = mark + (HEAD + table + PAPER).replace("\n", "\r\n")
    folder = write("")
    path = folder / "submission.toml"
    path.write_bytes(text.encode())
    for dataset in ("one", "two"):
        register_weights(folder, dataset, f"{dataset}.safetensors", NEW)
    after = path.read_bytes().decode()
    assert after.startswith(mark + HEAD.replace("\n", "\r\n"))
    assert after.count("\n") == after.count("\r\n")
    assert set(read_manifest(folder).weights) == {"one", "two"}


def test_a_file_of_mixed_line_endings_keeps_every_one_of_them(write):
    folder = write("")
    text = (HEAD.replace("\n", "\r\n") + ONE + PAPER).encode()
    (folder / "submission.toml").write_bytes(text)
    register_weights(folder, "one", "one.safetensors", NEW)
    assert (folder / "submission.toml").read_bytes() == text.replace(b"1" * 64, NEW.encode())


def test_a_table_that_lacks_the_checksum_is_completed(write):
    folder = write(HEAD + '\n[weights.one]\nfile = "one.safetensors"\n\n# about the paper\n' + PAPER)
    register_weights(folder, "one", "one.safetensors", NEW)
    assert read_manifest(folder).weights["one"].sha256 == NEW
    assert "# about the paper" in text_of(folder)


@pytest.mark.parametrize("broken", ["weights = 3\n", 'weights = { one = "x" }\n', "weights = {\n", "[[weights]]\n"])
def test_weights_that_are_no_tables_are_refused_and_the_file_stays(write, broken):
    folder = write(HEAD + broken)
    with pytest.raises(BenchError, match=r"submission\.toml"):
        register_weights(folder, "one", "one.safetensors", NEW)
    assert text_of(folder) == HEAD + broken


def test_nothing_is_written_but_a_whole_valid_manifest(write, monkeypatch):
    """A reader that comes in between never sees another."""
    folder = write(HEAD + ONE)
    written = []
    monkeypatch.setattr("benchmark.submission.registration.write_atomically", lambda _, text: written.append(text))
    with pytest.raises(BenchError):
        register_weights(folder, "three", "x.safetensors", NEW)
    assert written == []
