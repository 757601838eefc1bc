"""What a folder and a CSV file say of images; whatever is wrong with them is said in one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.intake.found import Columns, Found, collect

from .pictures import pattern, save, table


def _refused(ask: Callable[[], object], complaint: str) -> None:
    with pytest.raises(BenchError, match=complaint) as caught:
        ask()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Four images in one folder, one of them one level down."""
    for name in ("a", "b", "c", "deep/d"):
        save(tmp_path / "flat" / f"{name}.png", pattern(name))
    return tmp_path / "flat"


def test_class_folders_name_the_classes_and_images_are_called_by_their_paths(films: Path) -> None:
    found = collect(films, None, Columns())
    assert len(found.images) == 35
    assert found.images[0] == Found("sick/0.png", "sick", "sick/0.png", None)
    assert not found.patients


def test_folders_of_splits_come_first(tmp_path: Path) -> None:
    for path in ("Train/x/1.png", "train/y/2.png", "validation/x/3.png", "test/y/deeper/4.PNG", ".hidden/z/5.png"):
        save(tmp_path / "f" / path, pattern(path))
    found = {image.file: (image.split, image.label) for image in collect(tmp_path / "f", None, Columns()).images}
    assert found["Train/x/1.png"] == ("train", "x")
    assert found["validation/x/3.png"] == ("val", "x")
    assert found["test/y/deeper/4.PNG"] == ("test", "y")
    assert len(found) == 4


def test_a_table_calls_images_by_path_or_name_with_or_without_ending(flat: Path, tmp_path: Path) -> None:
    rows = [["a.png", "x"], ["./b", "y"], ["d", "x"], ["c.png", "y"]]
    found = collect(flat, table(tmp_path / "l.csv", ["Image", "Label"], rows), Columns())
    assert [(image.file, image.label) for image in found.images] == [
        ("a.png", "x"),
        ("b.png", "y"),
        ("c.png", "y"),
        ("deep/d.png", "x"),
    ]


def test_patients_are_taken_from_a_column_of_the_usual_name_and_it_says_so(flat: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "l.csv", ["image", "label", "Patient_ID"], [["a", "x", "p"], ["b", "y", "q"]])
    found = collect(flat, labels, Columns())
    assert [image.patient for image in found.images] == ["p", "q"]
    assert any("column 'Patient_ID'" in remark for remark in found.remarks)
    assert any("2 images" in remark and "left out" in remark for remark in found.remarks)


def test_semicolons_and_a_byte_order_mark_are_read_too(flat: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b"\xef\xbb\xbfimage;label\r\na;x\r\n\r\nb;y, or so\r\n")
    assert [image.label for image in collect(flat, tmp_path / "l.csv", Columns()).images] == ["x", "y, or so"]


@pytest.mark.parametrize(
    ("columns", "rows", "asked", "complaint"),
    [
        (
            ["picture", "label"],
            [["a", "x"]],
            {},
            "none of the columns image, .*; name one of picture, label",
        ),
        (["image", "what"], [["a", "x"]], {}, "with --label"),
        (["image", "label"], [["a", "x"]], {"label": "labels"}, "no column 'labels', which --label .*'label'"),
        (
            ["image", "label", "patientt"],
            [["a", "x", "p"]],
            {"patient": "patient"},
            "which --patient names.*tt",
        ),
        (["image", "label"], [["a", "x"]], {"split": "split"}, "no column 'split', which --split names"),
        (["image", "label"], [["a", "x"], ["nobody", "y"]], {}, "row 3: there is no image 'nobody'"),
        (["image", "label"], [["a", "x"], ["a.png", "y"]], {}, "row 3: a.png is listed a second time"),
        (["image", "label"], [["a", ""], ["b", "y"]], {}, "row 2: column 'label' is empty"),
        (["image", "label", "patient"], [["a", "x", ""]], {}, "row 2: column 'patient' is empty"),
        (["image", "label", "s"], [["a", "x", "exam"]], {"split": "s"}, "split 'exam' is none of train, val, test"),
        (["image", "label"], [["a", "x"], ["b", "X "]], {}, "two classes have one name, 'x' and 'X'"),
        (["image", "label"], [["a", "x"], ["b", "x"]], {}, "only one class, 'x'"),
        (["image", "label"], [], {}, "no rows"),
        (["image", "image"], [["a", "x"]], {}, "two columns 'image'"),
        (["image", "label"], [["a", "x", "more"]], {}, "row 2 has 3 cells but there are 2 columns"),
    ],
)
def test_a_wrong_table_is_refused(
    flat: Path, tmp_path: Path, columns: list[str], rows: list[list[str]], asked: dict[str, str], complaint: str
) -> None:
    labels = table(tmp_path / "l.csv", columns, rows)
    _refused(lambda: collect(flat, labels, Columns(**asked)), complaint)


def test_an_image_name_with_two_meanings_is_refused(tmp_path: Path) -> None:
    for path in ("one/a.png", "two/a.png"):
        save(tmp_path / "f" / path, pattern(path))
    labels = table(tmp_path / "l.csv", ["image", "label"], [["a", "x"]])
    _refused(lambda: collect(tmp_path / "f", labels, Columns()), r"'a' could be one/a\.png or two/a\.png")


def test_a_folder_without_what_is_needed_is_refused(tmp_path: Path, flat: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "notes.txt").write_text("nothing")
    _refused(lambda: collect(tmp_path / "none", None, Columns()), "holds no images")
    _refused(lambda: collect(tmp_path / "gone", None, Columns()), "is not there")
    _refused(lambda: collect(flat, None, Columns()), r"a\.png lies in no class folder")
    _refused(lambda: collect(flat, None, Columns(patient="p")), "give it with --labels")
    _refused(lambda: collect(flat, tmp_path / "gone.csv", Columns()), "gone.csv is not there")


def test_class_folders_beside_folders_of_splits_are_refused(tmp_path: Path) -> None:
    for path in ("train/x/1.png", "x/2.png"):
        save(tmp_path / "f" / path, pattern(path))
    _refused(lambda: collect(tmp_path / "f", None, Columns()), r"folders of splits \(train\) beside others \(x\)")


def test_more_than_a_hundred_classes_are_refused(tmp_path: Path) -> None:
    for number in range(101):
        save(tmp_path / "f" / str(number) / "a.png", pattern("a", 8, 8))
    _refused(lambda: collect(tmp_path / "f", None, Columns()), "101 classes")
