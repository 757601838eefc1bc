"""Text files are read as every system's editors save them; another encoding is refused in one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.data.card import read_card
from benchmark.errors import BenchError
from benchmark.files import read_text
from benchmark.matrix.model import MATRIX_FILE, Matrix
from benchmark.submission.manifest import read_manifest
from benchmark.toml_model import read_toml
from benchmark.training.recipe import read_recipe
from leaderboard.published import read_published
from leaderboard.published.table import PUBLISHED

PROJECT = Path(__file__).resolve().parents[1]
CARD = PROJECT / "datasets" / "pneumoniamnist" / "dataset.toml"


def card(path: Path) -> object:
    return read_card(path.parent)


def manifest(path: Path) -> object:
    return read_manifest(path.parent)


READERS: dict[str, tuple[Path, Callable[[Path], object]]] = {
    "card": (CARD, card),
    "official ids": (CARD.with_name("official_ids.txt"), card),
    "manifest": (PROJECT / "submissions" / "natural" / "submission.toml", manifest),
    "recipe": (PROJECT / "submissions" / "natural" / "recipe.toml", read_recipe),
    "matrix": (MATRIX_FILE, lambda path: read_toml(path, Matrix)),
    "published numbers": (PUBLISHED, read_published),
}
SAVED = {
    "with a byte order mark": lambda text: text.encode("utf-8-sig"),
    "with the line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "with both": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
}
OTHER = {
    "utf-16": "it is UTF-16",
    "utf-16-le": "it holds NUL bytes, as UTF-16 does",
    "utf-32": "it is UTF-32",
}


def copy_of(original: Path, folder: Path, content: bytes) -> Path:
    """A copy with this content, in a folder of the same name, beside copies of the small files of the original's."""
    path = folder / original.parent.name / original.name
    path.parent.mkdir()
    for neighbour in original.parent.glob("*.t*"):
        (path.parent / neighbour.name).write_bytes(neighbour.read_bytes())
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("what", READERS)
def test_a_file_is_the_same_however_an_editor_saves_it(what: str, saved: str, tmp_path: Path) -> None:
    original, read = READERS[what]
    path = copy_of(original, tmp_path, SAVED[saved](original.read_text(encoding="utf-8")))
    assert read(path) == read(original)


@pytest.mark.parametrize("encoding", OTHER)
@pytest.mark.parametrize("what", READERS)
def test_another_encoding_is_refused_in_one_sentence(what: str, encoding: str, tmp_path: Path) -> None:
    original, read = READERS[what]
    path = copy_of(original, tmp_path, original.read_text(encoding="utf-8").encode(encoding))
    with pytest.raises(BenchError, match=f"{path.name} is not valid .*{OTHER[encoding]}.*; save it as UTF-8.$") as told:
        read(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_that_is_not_utf8_is_told_with_its_line(mark: bytes, tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(mark + b"a = 1\nb = '\xe9t\xe9'\n")
    with pytest.raises(BenchError, match="byte 0xe9 in line 2 is not UTF-8"):
        read_text(tmp_path / "latin.toml", "TOML")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="cannot be read"):
        read_text(tmp_path)


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = 1" + "0" * 5000])
def test_hostile_toml_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "hostile.toml").write_text(text)
    with pytest.raises(BenchError, match="is not valid TOML"):
        read_toml(tmp_path / "hostile.toml", Matrix)
