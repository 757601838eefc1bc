"""What an entry's hash covers: everything that its code can read when built for a data set, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.root import Root
from benchmark.submission import find_entry
from benchmark.submission.snapshot import copied, snapshot

TWO = """
[weights.tiny]
file = "weights/tiny.safetensors"
sha256 = "{zeros}"
[weights.other]
file = "weights/other.safetensors"
sha256 = "{zeros}"
""".format(zeros="0" * 64)


@pytest.fixture
def folder(plant: Callable[..., Path]) -> Path:
    folder = plant(extra=TWO)
    manifest = folder / "submission.toml"
    manifest.write_text(manifest.read_text().replace('datasets = ["tiny"]', 'datasets = ["tiny", "other"]'))
    (folder / "weights").mkdir()
    for name in ("tiny", "other"):
        (folder / "weights" / f"{name}.safetensors").write_bytes(name.encode())
    return folder


@pytest.fixture
def digest(project: Root, folder: Path) -> Callable[[], str]:
    return lambda: find_entry(project, str(folder)).content_hash("tiny")


@pytest.mark.parametrize(
    "place",
    [
        "defense.py",
        "norm.json",
        "parts/layers.py",
        "weights/second.safetensors",
        "weights/tiny.safetensors",
        "table.csv",
        "labels.txt",
    ],
)
def test_a_file_that_the_code_can_read_changes_the_hash(place: str, folder: Path, digest: Callable[[], str]) -> None:
    before = digest()
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("new\n")
    after = digest()
    (folder / place).write_text("newer\n")
    assert len({before, after, digest()}) == 3


@pytest.mark.parametrize(
    "place",
    [
        "README.md",
        "readme.txt",
        "LICENSE",
        "CITATION.cff",
        "recipe.toml",
        "recipe-isic.toml",
        "weights/tiny.log.csv",
        "weights/tiny.curve.svg",
        "weights/tiny.training.json",
        "weights/tiny.repeat.training.json",
        "weights/tiny.safetensors.part",
        "weights/other.safetensors",
        "__pycache__/defense.cpython-311.pyc",
        ".git/config",
    ],
)
def test_a_file_that_tells_of_the_entry_is_neither_hashed_nor_within_reach(
    place: str, project: Root, folder: Path, digest: Callable[[], str]
) -> None:
    before = digest()
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("new\n")
    assert digest() == before
    shot = snapshot(folder, find_entry(project, str(folder)).manifest, "tiny")
    assert not (copied(shot) / place).exists()


def test_words_of_the_manifest_do_not_change_the_hash_but_the_revision_does(
    folder: Path, digest: Callable[[], str]
) -> None:
    before, manifest = digest(), folder / "submission.toml"
    manifest.write_text(manifest.read_text().replace('title = "Planted"', 'title = "Better words"'))
    assert digest() == before
    manifest.write_text(manifest.read_text().replace("revision = 1", "revision = 2"))
    assert digest() != before


@pytest.mark.parametrize("inside", [True, False], ids=["within the entry", "out of it"])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_links_are_refused(what: str, inside: bool, folder: Path, tmp_path: Path, digest: Callable[[], str]) -> None:
    target = (folder if inside else tmp_path) / ("real.txt" if what == "file" else "real")
    target.write_text("x") if what == "file" else target.mkdir()
    (folder / "linked").symlink_to(target)
    with pytest.raises(BenchError, match=f"linked .*is a link; put the {what} itself there"):
        digest()


def test_the_copy_holds_exactly_what_is_hashed(project: Root, folder: Path) -> None:
    (folder / "norm.json").write_text("{}")
    shot = snapshot(folder, find_entry(project, str(folder)).manifest, "tiny")
    copy = copied(shot)
    found = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    assert found == set(shot.files) == {"defense.py", "norm.json", "weights/tiny.safetensors"}
    assert copy.name == folder.name


def test_weights_may_be_those_of_another_entry(project: Root, folder: Path, plant: Callable[..., Path]) -> None:
    borrower = plant(extra=f'[weights.tiny]\nentry = "planted"\nsha256 = "{"0" * 64}"', name="borrower")
    manifest = find_entry(project, str(borrower)).manifest
    shot = snapshot(borrower, manifest, "tiny")
    assert shot.files["weights/tiny.safetensors"] == folder / "weights" / "tiny.safetensors"
    (folder / "weights" / "tiny.safetensors").write_text("retrained")
    assert snapshot(borrower, manifest, "tiny").digest != shot.digest


def test_which_of_two_weight_files_the_manifest_names_changes_the_hash(
    project: Root, folder: Path, digest: Callable[[], str]
) -> None:
    (folder / "weights" / "second.safetensors").write_text("second")
    first = digest()
    manifest = folder / "submission.toml"
    manifest.write_text(manifest.read_text().replace("weights/tiny.safetensors", "weights/second.safetensors"))
    assert digest() != first


def test_a_leftover_of_the_entrys_own_does_not_hide_borrowed_weights(
    project: Root, folder: Path, plant: Callable[..., Path]
) -> None:
    borrower = plant(extra=f'[weights.tiny]\nentry = "planted"\nsha256 = "{"0" * 64}"', name="borrower")
    (borrower / "weights").mkdir()
    (borrower / "weights" / "tiny.safetensors").write_text("leftover")
    manifest = find_entry(project, str(borrower)).manifest
    assert snapshot(borrower, manifest, "tiny").files["weights/tiny.safetensors"].parent.parent == folder


def test_borrowed_weights_that_are_not_there_are_told_in_one_sentence(project: Root, plant: Callable[..., Path]):
    borrower = plant(extra=f'[weights.tiny]\nentry = "nobody"\nsha256 = "{"0" * 64}"', name="borrower")
    with pytest.raises(BenchError, match=r"weights\.tiny are those of entry 'nobody'"):
        find_entry(project, str(borrower)).content_hash("tiny")
