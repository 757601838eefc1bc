"""A folder becomes a data set: card, arrays and recipes, the same however often the import is killed."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.data.registry import availability, load_split, official_subset
from benchmark.errors import BenchError
from benchmark.intake import arrays
from benchmark.intake.bring_in import Imported, Wish, import_folder
from benchmark.intake.found import Columns
from benchmark.root import Root
from benchmark.training.recipe import read_recipe, untrained_network

from .pictures import pattern, save, table


def _import(board: Root, folder: Path, **asked: object) -> Imported:
    return import_folder(board, Wish(folder, **{"size": (24, 20), "name": "mine", **asked}))  # type: ignore[arg-type]


def test_every_image_arrives_with_its_label_in_the_split_that_was_drawn(board: Root, films: Path) -> None:
    made = _import(board, films)
    assert (made.card.shape, made.card.task, made.card.classes) == ((1, 24, 20), "binary", ["sick", "well"])
    assert availability(made.card, root=board).state == "available"
    seen = []
    for name in ("train", "val", "test"):
        split = load_split(made.card, name, board)
        for place, file in enumerate(split.ids):
            label, _, number = file.removesuffix(".png").partition("/")
            assert made.card.classes[int(split.labels[place])] == label
            assert torch.equal(
                split.pixels[place][0] * 255, torch.from_numpy(pattern(f"{label}{number}").copy()).float()
            )
        seen += split.ids
    assert len(seen) == len(set(seen)) == 35
    assert len(official_subset(made.card, load_split(made.card, "test", board))) == made.card.official.count


def test_images_in_place_are_the_same_split(board: Root, films: Path) -> None:
    made, beside = _import(board, films), _import(board, films, name="beside", in_place=True)
    assert not list(beside.data.glob("*.npy"))
    for name in ("train", "val", "test"):
        one, other = (load_split(card, name, board) for card in (made.card, beside.card))
        assert one.content_hash == other.content_hash
        assert one.ids == other.ids


def test_a_changed_file_in_place_is_refused(board: Root, films: Path) -> None:
    card = _import(board, films, in_place=True).card
    split = load_split(card, "test", board)
    save(films / split.ids[0], pattern("another"))
    with pytest.raises(BenchError, match="is not the file that data set 'mine' was made from"):
        split.pixels[[0]]
    (films / split.ids[1]).unlink()
    with pytest.raises(BenchError, match="restore the file"):
        split.pixels[[1]]


def test_a_killed_import_goes_on_and_ends_with_the_same_files(
    board: Root, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _import(board, films, name="whole")
    monkeypatch.setattr(arrays, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(arrays, "TOGETHER", 4)
    real, read = arrays.read_image, []

    def killed(path: Path, *rest: object) -> np.ndarray:
        if len(read) >= 14:
            raise KeyboardInterrupt
        read.append(path)
        return real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(arrays, "read_image", killed)
    with pytest.raises(KeyboardInterrupt):
        _import(board, films)
    assert not (board.datasets / "mine").exists()
    monkeypatch.setattr(arrays, "read_image", lambda path, *rest: read.append(path) or real(path, *rest))
    before = len(read)
    made = _import(board, films)
    assert 35 - (len(read) - before) >= 12
    for path in whole.data.iterdir():
        assert (made.data / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in made.data.iterdir()) == sorted(path.name for path in whole.data.iterdir())


def test_what_was_begun_with_other_files_begins_anew(board: Root, films: Path) -> None:
    target = board.data / "mine"
    target.mkdir()
    (target / arrays.STATE).write_text(json.dumps({"key": "of other files", "done": 30}))
    made = _import(board, films)
    assert load_split(made.card, "train", board).pixels[:].amax() > 0.5


def test_a_folder_of_somebody_else_is_left_alone(board: Root, films: Path) -> None:
    (board.data / "mine").mkdir()
    (board.data / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BenchError, match="no unfinished import"):
        _import(board, films)
    assert (board.data / "mine" / "thesis.txt").exists()


def test_a_data_set_is_not_imported_over_another(board: Root, films: Path) -> None:
    _import(board, films)
    with pytest.raises(BenchError, match="is there already"):
        _import(board, films)


def test_an_unreadable_image_is_named(board: Root, films: Path) -> None:
    (films / "sick" / "3.png").write_bytes(b"no image")
    with pytest.raises(BenchError, match=r"sick/3\.png is no image"):
        _import(board, films)


def test_colour_and_depth_are_those_that_no_image_loses_by(board: Root, films: Path) -> None:
    save(films / "sick" / "0.png", np.repeat(pattern("c")[..., None], 3, axis=2))
    save(films / "well" / "0.png", pattern("d").astype(np.uint16) * 257)
    made = _import(board, films)
    assert (made.card.channels, made.card.reading.bits if made.card.reading else 0) == (3, 16)
    assert np.load(made.data / "test_images.npy").dtype == np.uint16
    assert _import(board, films, name="grey", channels=1).card.channels == 1


def test_a_test_set_alone_has_no_recipes(board: Root, films: Path, tmp_path: Path) -> None:
    for label in ("sick", "well"):
        (tmp_path / "only" / "test").mkdir(parents=True, exist_ok=True)
        (films / label).rename(tmp_path / "only" / "test" / label)
    made = _import(board, tmp_path / "only")
    assert made.card.splits.model_dump() == {"train": 0, "val": 0, "test": 35}
    assert made.recipes == []
    with pytest.raises(BenchError, match="no training images; it is for tests alone"):
        load_split(made.card, "train", board)


def _with_patients(films: Path, tmp_path: Path, splits: bool) -> Path:
    """Two images in a row are of one patient; with splits, patient 3's are torn."""
    files = sorted(path.relative_to(films).as_posix() for path in films.rglob("*.png"))
    told = [[file, file.split("/")[0], f"p{i // 2}", ("train", "test", "val")[i % 3]] for i, file in enumerate(files)]
    return (
        table(tmp_path / "l.csv", ["image", "label", "who", "split"], told)
        if splits
        else table(tmp_path / "l.csv", ["image", "label", "who"], [row[:3] for row in told])
    )


def test_patients_stay_together_and_are_groups_of_the_split(board: Root, films: Path, tmp_path: Path) -> None:
    made = _import(board, films, labels=_with_patients(films, tmp_path, False), columns=Columns(patient="who"))
    groups = [set(load_split(made.card, name, board).groups) for name in ("train", "val", "test")]
    assert made.card.patient_ids
    assert not made.card.leakage
    assert sum(map(len, groups)) == len(set.union(*groups)) == 18


def test_a_patient_in_two_splits_is_refused_or_marks_the_card(board: Root, films: Path, tmp_path: Path) -> None:
    asked = {"labels": _with_patients(films, tmp_path, True), "columns": Columns(patient="who", split="split")}
    with pytest.raises(BenchError, match=r"patient 'p0' has images in test and train .* --allow-leakage"):
        _import(board, films, **asked)
    assert any("in two splits" in told for told in _import(board, films, **asked, allow_leakage=True).card.leakage)


def test_the_same_picture_in_two_splits_marks_the_card_and_leaves_the_subset(board: Root, films: Path) -> None:
    first = _import(board, films, name="first").card
    train, test = (load_split(first, name, board) for name in ("train", "test"))
    copied, kept = test.ids[0], train.ids[0]
    Image.open(films / kept).save(films / copied)
    os.utime(films / copied)
    card = _import(board, films).card
    assert card.leakage == [f"1 image of test nearly the same as one of train, such as {copied} and {kept}."]
    assert card.official.exclude == [copied]
    assert card.official.count == first.official.count - 1


@pytest.mark.parametrize("size", [(8, 8), (12, 40), (32, 32), (224, 224)])
def test_surrogate_recipes_fit_images_of_every_size(board: Root, films: Path, size: tuple[int, int]) -> None:
    made = _import(board, films, size=size)
    assert [path.stem for path in made.recipes] == ["mobilenetv2", "vgg", "densenet"]
    for path in made.recipes:
        network = untrained_network(read_recipe(path), made.card).eval()
        assert network(torch.rand(2, *made.card.shape)).shape == (2, 2)


def test_a_name_that_cannot_be_one_is_refused(board: Root, films: Path) -> None:
    for name in ("Mine", "2x", "a-b"):
        with pytest.raises(BenchError, match="cannot be a data set's name"):
            import_folder(board, replace(Wish(films), name=name))
