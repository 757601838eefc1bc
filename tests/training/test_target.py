"""Training replaces the weight files that its own recipe made, and no others without leave."""

import json

import pytest
import torch

from benchmark.errors import BenchError
from benchmark.submission.records import untrained_record
from benchmark.submission.weights import sha256_of
from benchmark.training import train
from benchmark.training.filter_recipe import FilterRecipe
from benchmark.training.log import Paths, recipe_key

from .conftest import make_card, make_recipe


@pytest.fixture
def attempt(splits, tmp_path):
    """Train one epoch to ``weights/tiny.safetensors``; returns the report."""

    def _attempt(on_epoch=lambda _: None, overwrite=False, **changes):
        recipe = make_recipe(**{"epochs": 1} | changes)
        target = tmp_path / "weights" / "tiny.safetensors"
        return train(recipe, make_card(), splits, target, on_epoch, overwrite=overwrite)

    return _attempt


@pytest.fixture
def place(tmp_path):
    """Where the weights go; the folder exists."""
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights" / "tiny.safetensors"


def refused(attempt, **changes):
    """Try to train, which must be refused before the first epoch; returns the sentence."""
    epochs = []
    with pytest.raises(BenchError) as refusal:
        attempt(epochs.append, **changes)
    assert epochs == []
    return str(refusal.value)


def names(place):
    return sorted(path.name for path in place.parent.iterdir())


def edit_record(place, **changes):
    record = json.loads(Paths(place).record.read_text()) | changes
    Paths(place).record.write_text(json.dumps({key: value for key, value in record.items() if value is not None}))


def test_a_file_that_no_record_names_is_refused_and_stays(attempt, place):
    place.write_bytes(b"an imported checkpoint")
    sentence = refused(attempt)
    assert f"{place} would be replaced, but no training record beside it names its sha256" in sentence
    assert "--overwrite" in sentence
    assert place.read_bytes() == b"an imported checkpoint"
    assert names(place) == ["tiny.safetensors"]


def test_the_files_of_the_same_recipe_are_replaced_without_copies(attempt, place):
    attempt()
    first = names(place)
    again = attempt()
    assert (again.kept, again.other_data) == ((), False)
    assert names(place) == first


def test_other_bytes_of_the_same_recipe_are_replaced_too(attempt, place):
    """Another machine or version makes other bytes."""
    attempt()
    place.write_bytes(b"of another machine")
    edit_record(place, sha256=sha256_of(place))
    assert attempt().kept == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 2}, "it was trained with other settings than this recipe has now"),
        ({"learning_rate": 0.01}, "it was trained with other settings than this recipe has now"),
        (
            {"method": "pgd_at", "adversary": {"eps_255": 8, "alpha_255": 4, "steps": 1}},
            "its training record is of 'natural' on 'tiny', not of 'pgd_at' on 'tiny'",
        ),
    ],
)
def test_a_file_of_another_recipe_is_refused(attempt, place, changes, words):
    attempt()
    before = place.read_bytes()
    assert words in refused(attempt, **changes)
    assert place.read_bytes() == before


def test_a_file_that_was_swapped_after_training_is_refused(attempt, place):
    attempt()
    place.write_bytes(b"an imported checkpoint")
    assert "no training record beside it names its sha256" in refused(attempt)


def test_a_record_from_before_recipes_had_keys_does_not_count(attempt, place):
    attempt()
    edit_record(place, recipe=None)
    assert "does not say with which settings it was trained" in refused(attempt)
    edit_record(place, recipe=None, dataset="other")
    assert "is of 'natural' on 'other'" in refused(attempt)


@pytest.mark.parametrize("training_data", ["0" * 64, None])
def test_weights_from_other_training_data_are_kept(attempt, place, training_data):
    attempt()
    place.write_bytes(b"from the data as it was")
    edit_record(place, sha256=sha256_of(place), training_data=training_data)
    report = attempt()
    assert report.other_data
    assert b"from the data as it was" in [path.read_bytes() for path in report.kept]


def test_the_record_of_a_repeat_counts(attempt, place):
    attempt()
    Paths(place).record.rename(place.with_name("tiny.repeat.training.json"))
    assert attempt().weights == place


def test_the_record_of_another_file_does_not_count(attempt, place):
    attempt()
    Paths(place).record.rename(place.with_name("tiny2.training.json"))
    assert "no training record" in refused(attempt)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 10_000])
def test_a_record_that_is_none_does_not_count(attempt, place, content):
    attempt()
    Paths(place).record.write_bytes(content)
    assert "no training record" in refused(attempt)


def test_weights_that_nobody_trained_are_replaced_without_a_copy(attempt, place):
    place.write_bytes(b"a scaffold's")
    Paths(place).record.write_bytes(untrained_record("tiny", sha256_of(place)))
    assert attempt().kept == ()
    assert json.loads(Paths(place).record.read_text())["method"] == "natural"


def test_with_leave_the_old_file_and_what_lay_beside_it_are_kept(attempt, place):
    old = attempt(seed=2)
    before = {path.name: path.read_bytes() for path in place.parent.iterdir()}
    report = attempt(overwrite=True)
    assert report.sha256 != old.sha256
    assert place.with_name(f"tiny.safetensors.{old.sha256[:12]}.kept") in report.kept
    assert {path.name.rsplit(".", 2)[0]: path.read_bytes() for path in report.kept} == before
    assert json.loads(Paths(place).record.read_text())["sha256"] == report.sha256


def test_whatever_is_overwritten_and_however_often_every_file_remains(attempt, place):
    contents = [b"first", b"second", b"first", b"third"]
    for content in contents:
        place.write_bytes(content)
        attempt(overwrite=True)
    assert {path.read_bytes() for path in place.parent.glob("tiny.safetensors.*.kept")} == set(contents)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_comes_during_the_training_stays_and_the_trained_one_goes_beside_it(attempt, place, overwrite):
    report = attempt(lambda _: place.write_bytes(b"imported meanwhile"), overwrite)
    assert place.read_bytes() == b"imported meanwhile"
    assert report.weights == place.with_name(f"tiny.{report.sha256[:12]}.safetensors")
    assert sha256_of(report.weights) == report.sha256
    assert json.loads(Paths(report.weights).record.read_text())["sha256"] == report.sha256
    assert not Paths(place).record.exists()


def test_logs_without_their_weights_are_kept(attempt, place):
    attempt()
    place.unlink()
    edit_record(place, sha256="0" * 64)
    Paths(place).table.write_text("of weights that were moved away")
    kept = attempt().kept
    assert "of weights that were moved away" in [path.read_text() for path in kept]
    assert len(kept) == 3


def test_a_place_that_cannot_be_written_to_is_refused(attempt, place):
    place.parent.rmdir()
    place.parent.write_text("a file")
    assert "is a file, so" in refused(attempt)


def test_a_key_is_of_what_decides_the_weights_alone():
    key = recipe_key(make_recipe())
    assert key == recipe_key(make_recipe(datasets=["tiny", "other"], weights="x.safetensors", momentum=0.9))
    assert key == recipe_key(make_recipe(options={"pool": False, "width": 2}))
    assert key != recipe_key(make_recipe(options={"pool": True, "width": 2}))


def test_a_field_that_comes_later_leaves_the_keys_of_earlier_records():
    class Later(type(make_recipe())):
        invented_since: int = 3

    recipe = make_recipe()
    assert recipe_key(Later.model_validate(recipe.model_dump(exclude_none=True))) == recipe_key(recipe)


def test_a_filters_training_is_held_to_the_same(splits, tmp_path):
    from benchmark.training.filters import train_filter

    card = make_card()
    classifier = train(make_recipe(epochs=1), card, splits, tmp_path / "tiny.safetensors").weights
    recipe = FilterRecipe.model_validate(
        {
            "kind": "filter",
            "method": "comdefend",
            "datasets": ["tiny"],
            "seed": 1,
            "epochs": 1,
            "batch_size": 16,
            "options": {"widths": [4, 4]},
            "classifier": {
                "weights": classifier.name,
                "architecture": "narrow-resnet18",
                "options": {"width": 2, "pool": False},
            },
        }
    )
    target = tmp_path / "filter.safetensors"
    target.write_bytes(b"imported")
    with pytest.raises(BenchError, match="--overwrite"):
        train_filter(recipe, card, splits, target, beside=tmp_path, overwrite=False)
    assert target.read_bytes() == b"imported"
    report = train_filter(recipe, card, splits, target, beside=tmp_path, overwrite=True)
    assert [path.read_bytes() for path in report.kept] == [b"imported"]
    assert train_filter(recipe, card, splits, target, beside=tmp_path, overwrite=False).kept == ()
    assert torch.get_num_threads() == 1
