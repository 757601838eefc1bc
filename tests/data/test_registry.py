"""The shipped data sets: where they come from, and their official subsets."""

import hashlib
import os
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import URLError

import medmnist
import numpy as np
import pytest
import torch

from benchmark.data.card import Card, Official, SplitSizes, read_card
from benchmark.data.official import stratified_ids
from benchmark.data.registry import availability, find_card, load_split, official_subset, prepare
from benchmark.data.split import Split
from benchmark.errors import BenchError
from benchmark.root import Root

WITH_IDS = ("pneumoniamnist", "isic2017_64", "synthetic_cxr")


def _need(card: Card) -> None:
    if availability(card).state != "available":
        pytest.skip(f"{card.files[0].name} is not in BENCH_DATA ({os.environ.get('BENCH_DATA', 'not set')})")


def _test_split(name: str, root: Root) -> tuple[Card, Split]:
    card = find_card(name, root)
    _need(card)
    return card, load_split(card, "test", root)


@pytest.mark.parametrize("name", WITH_IDS)
def test_the_ids_file_is_what_the_rule_draws(name: str, root: Root) -> None:
    card, split = _test_split(name, root)
    assert stratified_ids(split, card.official.count, card.official.exclude) == card.official.ids


@pytest.mark.parametrize("name", WITH_IDS)
def test_the_official_subset_has_the_class_shares_of_the_test_split(name: str, root: Root) -> None:
    card, split = _test_split(name, root)
    subset = official_subset(card, split)
    assert len(subset) == card.official.count
    assert list(subset.ids) == [i for i in split.ids if i in set(subset.ids)]
    classes = len(card.classes)
    share = subset.labels.bincount(minlength=classes) / len(subset)
    assert torch.allclose(share, split.labels.bincount(minlength=classes) / len(split), atol=0.01)


@pytest.mark.parametrize("name", ["pneumoniamnist", "isic2017_64"])
def test_no_two_official_images_are_identical(name: str, root: Root) -> None:
    card, split = _test_split(name, root)
    subset = official_subset(card, split)
    assert len({image.numpy().tobytes() for image in subset.images}) == len(subset)


@pytest.mark.parametrize("name", ["pneumoniamnist", "isic2017_64"])
@pytest.mark.parametrize("other", ["train", "val"])
def test_no_official_image_is_identical_to_one_of_another_split(name: str, other: str, root: Root) -> None:
    card, split = _test_split(name, root)
    seen = {image.numpy().tobytes() for image in load_split(card, other).images}
    assert not any(image.numpy().tobytes() in seen for image in official_subset(card, split).images)


def medmnist_file(dataset: str, root: Root, folder: Path, size: int, name: str) -> Card:
    """A small file as MedMNIST lays it out, all but one pixel black, and a card for it."""
    card = find_card(dataset, root).model_copy(update={"splits": SplitSizes(train=12, val=9, test=9), "size": size})
    arrays: dict[str, Any] = {}
    channels = (3,) if card.channels == 3 else ()
    for split, count in card.splits.model_dump().items():
        arrays[f"{split}_images"] = np.zeros((count, size, size, *channels), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % len(card.classes)).astype(np.uint8)[:, None]
    arrays["val_images"][5, 3, 4] = (51, 102, 255) if channels else 51
    np.savez_compressed(folder / name, **arrays)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    file = card.files[0].model_copy(update={"name": name, "sha256": [digest], "md5": None})
    return card.model_copy(update={"files": [file]})


@pytest.mark.parametrize(("size", "name"), [(28, "dermamnist.npz"), (64, "dermamnist_64.npz"), (224, "mine.npz")])
def test_a_colour_medmnist_file_is_read_at_every_size(root: Root, tmp_path: Path, size: int, name: str) -> None:
    card = medmnist_file("dermamnist", root, tmp_path, size, name)
    split = load_split(card, "val", data_dir=tmp_path)
    assert split.images.shape == (9, 3, size, size)
    assert split.images[5, :, 3, 4].tolist() == pytest.approx([0.2, 0.4, 1.0])
    assert (split.ids[5], int(split.labels[5])) == ("val-00005", 5)


def test_pneumoniamnist_has_its_published_counts(root: Root) -> None:
    card = find_card("pneumoniamnist", root)
    _need(card)
    counts = {name: load_split(card, name).labels.bincount().tolist() for name in ("train", "val", "test")}
    assert counts == {"train": [1214, 3494], "val": [135, 389], "test": [234, 390]}


def test_a_card_without_ids_draws_them_by_its_rule() -> None:
    count = 30
    split = Split(
        dataset="ruled",
        name="test",
        images=torch.zeros(count, 1, 2, 2),
        labels=(torch.arange(count) % 3 == 0).long(),
        ids=tuple(f"test-{i:05d}" for i in range(count)),
        groups=("one",) * count,
        classes=("a", "b"),
    )
    drawn = stratified_ids(split, 12, ["test-00000"])
    labels = [int(name[-5:]) % 3 == 0 for name in drawn]
    assert (len(drawn), sum(labels), "test-00000" in drawn) == (12, 4, False)
    assert drawn == sorted(drawn)
    with pytest.raises(BenchError, match=r"lower official\.count"):
        stratified_ids(split, 30, ["test-00000"])


def test_spaces_around_an_official_id_are_its_own_or_an_editors(root: Root) -> None:
    card = find_card("synthetic_cxr", root)
    ids = ("a ", "b", "c")
    split = Split("synthetic_cxr", "test", torch.zeros(3, 1, 2, 2), torch.zeros(3).long(), ids, ids, ("x", "y"))
    told = card.model_copy(update={"official": Official(count=2, drawn="by hand", ids=["c  ", "a "])})
    assert official_subset(told, split).ids == ("a ", "c")


def test_dermamnist_is_defined_by_its_rule(root: Root) -> None:
    card = find_card("dermamnist", root)
    assert card.official.ids == []
    labels = (torch.arange(card.splits.test) * 7 // card.splits.test).long()
    ids = tuple(f"test-{i:05d}" for i in range(card.splits.test))
    split = Split("dermamnist", "test", torch.zeros(len(ids), 3, 28, 28), labels, ids, ids, tuple(card.classes))
    subset = official_subset(card, split)
    assert len(subset) == 256
    assert subset.labels.bincount().min() >= 36


def test_the_subset_of_another_split_is_refused(root: Root) -> None:
    card = find_card("synthetic_cxr", root)
    other = Split("synthetic_cxr", "val", torch.zeros(1, 1, 2, 2), torch.zeros(1).long(), ("a",), ("a",), ("x", "y"))
    with pytest.raises(BenchError, match="load split 'test'"):
        official_subset(card, other)


def test_an_official_id_that_the_split_lacks_is_named(root: Root) -> None:
    card, split = _test_split("synthetic_cxr", root)
    wrong = card.model_copy(update={"official": Official(count=1, drawn="by hand", ids=["test-99999"])})
    with pytest.raises(BenchError, match="has no image 'test-99999'"):
        official_subset(wrong, split)


def test_an_unknown_data_set_gets_a_suggestion(root: Root) -> None:
    with pytest.raises(BenchError, match="Did you mean 'pneumoniamnist'"):
        load_split("pneumonia_mnist", root=root)


def test_a_download_without_network_is_one_sentence(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", no_network)
    with pytest.raises(BenchError, match=r"downloading dermamnist\.npz failed \(URLError.*https://zenodo") as caught:
        prepare(find_card("dermamnist", root), tmp_path / "new")
    assert "\n" not in str(caught.value)


def test_a_download_that_arrives_is_available(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = read_card(root.datasets / "pneumoniamnist")
    _need(card)
    content = (Path(os.environ["BENCH_DATA"]) / "pneumoniamnist.npz").read_bytes()

    def deliver(url: str, root: str, filename: str, md5: str) -> None:
        assert (url, md5) == (
            "https://zenodo.org/records/10519652/files/pneumoniamnist.npz?download=1",
            card.files[0].md5,
        )
        (Path(root) / filename).write_bytes(content)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", deliver)
    assert prepare(card, tmp_path).state == "available"


@pytest.mark.parametrize("size", [64, 128, 224])
def test_a_download_asks_for_the_file_of_the_cards_size(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    name = f"pneumoniamnist_{size}.npz"
    card = medmnist_file("pneumoniamnist", root, made, size, name)
    asked: list[tuple[str, str]] = []

    def deliver(url: str, root: str, filename: str, md5: str) -> None:
        print("downloading")  # as some versions do
        asked.append((url, md5))
        (Path(root) / filename).write_bytes((made / name).read_bytes())

    monkeypatch.setattr("torchvision.datasets.utils.download_url", deliver)
    assert prepare(card, tmp_path / "data").state == "available"
    info = medmnist.INFO["pneumoniamnist"]
    assert asked == [(info[f"url_{size}"], info[f"MD5_{size}"])]
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name]
    assert capsys.readouterr().out == ""


def test_a_download_that_breaks_off_leaves_no_file(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(url: str, root: str, filename: str, md5: str) -> None:
        (Path(root) / filename).write_bytes(b"PK half a file")
        raise IncompleteRead(b"")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", break_off)
    with pytest.raises(BenchError, match=r"downloading dermamnist\.npz failed \(IncompleteRead"):
        prepare(find_card("dermamnist", root), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_data_folder_comes_from_the_environment(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = find_card("dermamnist", root)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert str(tmp_path) in availability(card).sentence
    monkeypatch.delenv("BENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert str(tmp_path / "cache" / "medrobustbench") in availability(card).sentence
