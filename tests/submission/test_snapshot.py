"""What an entry's hash covers: everything that its code can read when built for a data set, and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.root import Root
from benchmark.submission import find_entry
from benchmark.submission.contract import Report
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
        "notice.py",
        "authors.py",
        "changelog.py",
        "license_head.py",
        "Readme_net.PY",
        os.fsdecode(b"caf\xe9.txt"),
    ],
    ids=ascii,
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


@pytest.mark.parametrize("place", ["README.md", "LICENSE", "weights/other.safetensors", "weights/tiny.log.csv"])
def test_a_link_to_a_file_that_is_in_no_hash_is_passed_over(
    place: str, project: Root, folder: Path, tmp_path: Path, digest: Callable[[], str]
) -> None:
    before = digest()
    (folder / place).unlink(missing_ok=True)
    (tmp_path / "elsewhere").write_text("x")
    (folder / place).symlink_to(tmp_path / "elsewhere")
    assert digest() == before
    assert place not in snapshot(folder, find_entry(project, str(folder)).manifest, "tiny").files


def test_a_link_to_nothing_is_refused_like_one_to_a_file(folder: Path, digest: Callable[[], str]) -> None:
    (folder / "linked").symlink_to("nowhere")
    with pytest.raises(BenchError, match=r"linked .*is a link; put the file itself there"):
        digest()


def test_python_files_named_like_documents_are_deployed(plant: Callable[..., Path], check: Callable[..., Report]):
    folder = plant()
    (folder / "notice.py").write_text("CLASSES = 3\n")
    code = (folder / "defense.py").read_text()
    (folder / "defense.py").write_text(f"from notice import CLASSES\n{code}")
    assert check(folder).passed


def test_an_entry_with_a_file_name_that_is_no_utf_8_passes(plant: Callable[..., Path], check: Callable[..., Report]):
    folder = plant()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("1")
    assert check(folder).passed


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
