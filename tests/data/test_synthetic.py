"""The synthetic films are the same on every machine, and their labels are in the picture, not in its brightness."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data import synthetic_split
from benchmark.data.card import Card
from benchmark.data.registry import find_card, load_split, prepare
from benchmark.data.split import Split
from benchmark.data.synthetic import CLASSES, FINDINGS, VERSION, Films, draw_films
from benchmark.errors import BenchError
from benchmark.root import Root


@pytest.fixture(scope="module")
def films() -> Films:
    return draw_films("test", range(400))


@pytest.fixture(scope="module")
def test_split(root: Root) -> Split:
    return load_split("synthetic_cxr", "test", root)


def test_films_have_not_changed_since_this_version_was_frozen() -> None:
    """Weights and official results belong to these pixels: who changes them raises VERSION and this hash."""
    drawn = draw_films("train", range(8))
    digest = hashlib.sha256(drawn.images.tobytes() + drawn.labels.tobytes() + drawn.masks.tobytes()).hexdigest()
    assert (VERSION, digest) == (2, "d3b66e378b28963cba45ef2c41717de16ad969817a307b3cadc560ab8dcdf099")


def test_the_test_split_has_not_changed_since_this_version_was_frozen(test_split: Split) -> None:
    assert test_split.content_hash == "f7bbca00b51a055ab3acc88987cafccbd7604871acfe820394f13435d7f99084"


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 399), min_size=1, max_size=20))
def test_a_film_does_not_depend_on_what_is_drawn_with_it(films: Films, indices: list[int]) -> None:
    again = draw_films("test", indices)
    for what in ("images", "labels", "findings", "masks"):
        assert np.array_equal(getattr(again, what), getattr(films, what)[indices])


def test_splits_hold_different_films(films: Films) -> None:
    other = draw_films("val", range(20))
    assert not np.array_equal(other.images, films.images[:20])
    assert not {image.tobytes() for image in other.images} & {image.tobytes() for image in films.images}


def test_a_larger_film_shows_the_same_patient(films: Films) -> None:
    large = draw_films("test", range(24), size=64)
    assert large.images.shape == (24, 64, 64)
    assert np.array_equal(large.labels, films.labels[:24])
    small = large.images.reshape(24, 32, 2, 32, 2).mean(axis=(2, 4))
    for index in range(24):
        assert np.corrcoef(small[index].ravel(), films.images[index].ravel())[0, 1] > 0.97


def test_each_film_has_at_most_one_finding_and_it_is_its_label(films: Films) -> None:
    labels = np.array([CLASSES.index("opacity" if FINDINGS[f] == "nodule" else FINDINGS[f]) for f in range(4)])
    assert set(films.findings.sum(axis=1)) == {0, 1}
    expected = np.where(films.findings.any(axis=1), labels[films.findings.argmax(axis=1)], CLASSES.index("normal"))
    assert np.array_equal(expected, films.labels)
    assert films.findings.sum(axis=0).min() > 0


def test_classes_are_about_equally_frequent(test_split: Split) -> None:
    assert test_split.labels.bincount(minlength=4).min() > 0.22 * len(test_split)


def test_lungs_are_darker_than_the_tissue_around_them(films: Films) -> None:
    inside = films.masks == 1
    share = inside.mean(axis=(1, 2))
    assert share.min() > 0.08
    assert share.max() < 0.45
    centre = np.zeros((32, 32), dtype=bool)
    centre[6:28, 6:26] = True
    darker = [film[mask].mean() < film[centre & ~mask].mean() for film, mask in zip(films.images, inside, strict=True)]
    assert np.mean(darker) > 0.98


def _cardiothoracic_ratio(mask: np.ndarray) -> float:
    """Return the widest gap between the lungs over the chest's width, at the heart's level."""
    rows = [np.flatnonzero(row) for row in mask if row.any()]
    level = rows[len(rows) // 2 : 3 * len(rows) // 4 + 1]
    return max(float((np.diff(row).max() - 1) / (row[-1] - row[0] + 1)) for row in level)


def test_an_enlarged_heart_is_wide_against_the_chest(films: Films) -> None:
    ratios = np.array([_cardiothoracic_ratio(mask) for mask in films.masks])
    enlarged = ratios[films.labels == CLASSES.index("cardiomegaly")]
    normal = ratios[films.labels == CLASSES.index("normal")]
    assert enlarged.mean() - normal.mean() > 0.06
    assert (enlarged[:, None] > normal[None, :]).mean() > 0.8


def test_brightness_alone_does_not_give_the_label_away(test_split: Split) -> None:
    """A forest on global statistics must stay near the chance level of 0.25."""
    from sklearn.ensemble import RandomForestClassifier

    pixels = test_split.images.flatten(1).numpy()
    quantiles = np.quantile(pixels, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1).T
    statistics = np.column_stack([pixels.mean(axis=1), pixels.std(axis=1), quantiles])
    labels = test_split.labels.numpy()
    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0).fit(statistics[:700], labels[:700])
    assert forest.score(statistics[700:], labels[700:]) < 0.40


def test_the_split_is_read_from_the_cache(root: Root, test_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> Films:
        raise AssertionError("drawn although cached")

    monkeypatch.setattr(synthetic_split, "draw_films", never)
    assert load_split("synthetic_cxr", "test", root).content_hash == test_split.content_hash


@pytest.fixture
def small_card(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """The synthetic card with few films, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    card = find_card("synthetic_cxr", root)
    sizes = card.splits.model_copy(update={"train": 5, "val": 4, "test": 3})
    return card.model_copy(update={"splits": sizes})


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _of_another_size(path: Path) -> None:
    drawn = draw_films("val", range(3))
    np.savez(path, images=drawn.images, labels=drawn.labels, findings=drawn.findings, masks=drawn.masks)


def _without_masks(path: Path) -> None:
    drawn = draw_films("val", range(4))
    np.savez(path, images=drawn.images, labels=drawn.labels, findings=drawn.findings)


@pytest.mark.parametrize("damage", [_truncate, _empty, _of_another_size, _without_masks])
def test_a_damaged_cache_is_drawn_anew(small_card: Card, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    first = load_split(small_card, "val")
    (cached,) = (tmp_path / "medrobustbench").iterdir()
    sound = np.load(cached)["images"]
    damage(cached)
    assert load_split(small_card, "val").content_hash == first.content_hash
    assert np.array_equal(np.load(cached)["images"], sound)


def test_a_cache_that_cannot_be_written_does_not_stop_the_run(
    small_card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load_split(small_card, "test")) == 3


def test_preparing_draws_all_three_splits_and_leaves_no_other_file(small_card: Card, tmp_path: Path) -> None:
    assert prepare(small_card).state == "available"
    names = sorted(path.name for path in (tmp_path / "medrobustbench").iterdir())
    assert [name.split("-")[3] for name in names] == ["test", "train", "val"]


def test_findings_and_masks_come_with_the_split(test_split: Split) -> None:
    assert test_split.findings is not None
    assert test_split.masks is not None
    assert test_split.findings.shape == (1000, 4)
    assert test_split.masks.shape == (1000, 32, 32)
    assert torch.equal(test_split.findings.any(dim=1), test_split.labels > 0)


def test_a_card_with_other_classes_is_refused(small_card: Card) -> None:
    with pytest.raises(BenchError, match="list exactly these"):
        load_split(small_card.model_copy(update={"classes": ["a", "b"]}), "test")
