"""Training of filters on digits: repeatable, chosen on the validation split, and good for what their papers claim."""

import json

import pytest
import torch

from benchmark.access import adaptive, white_box
from benchmark.attacks.pgd import Pgd
from benchmark.data.split import Split
from benchmark.defense import Defense
from benchmark.defense.stages import LearnedFilter
from benchmark.errors import BenchError
from benchmark.models.comdefend import ComDefend, _Step
from benchmark.randomness import Randomness, content_seed
from benchmark.submission.weights import load_into, read_weights, sha256_of
from benchmark.task.classification import Classification
from benchmark.training import Recipe, filters, train
from benchmark.training.filters import FilterRecipe, filtered_classifier, read_filter_recipe, train_filter
from benchmark.training.part import run_key

from ..attacks.problem import digits
from .conftest import SIZE, make_card

CARD = make_card(3, "digits")
TASK = Classification(3)
STRONG_255 = 64
"""A budget that leaves nothing of the bare classifier."""

ADVERSARY = {"eps_255": 24, "alpha_255": 8, "steps": 4}
COMDEFEND = {"method": "comdefend", "options": {"widths": [16, 16]}, "epochs": 12, "learning_rate": 0.01}
HGD = {"method": "hgd", "options": {"widths": [8, 16]}, "adversary": ADVERSARY, "epochs": 5, "learning_rate": 0.01}


def digit_split(name, first, count):
    images, labels = digits(3)
    ids = tuple(f"{name}-{i}" for i in range(count))
    part = slice(first, first + count)
    return Split("digits", name, images[part], labels[part], ids, ids, tuple(CARD.classes))


SPLITS = digit_split("train", 0, 1200), digit_split("val", 1200, 200)
TEST = digit_split("test", 1400, 200)
FEW = digit_split("train", 0, 64), digit_split("val", 1200, 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a trained classifier."""
    path = tmp_path_factory.mktemp("filters")
    recipe = Recipe.model_validate(
        {
            "method": "natural",
            "datasets": ["digits"],
            "architecture": "narrow-resnet18",
            "options": {"width": 4, "pool": False},
            "seed": 1,
            "epochs": 6,
            "shift": 0,
        }
    )
    train(recipe, CARD, SPLITS, path / "digits.safetensors")
    return path


def make_recipe(**changes):
    fields = {
        "kind": "filter",
        "datasets": ["digits"],
        "seed": 1,
        "shift": 0,
        "batch_size": 32,
        "classifier": {
            "weights": "{dataset}.safetensors",
            "architecture": "narrow-resnet18",
            "options": {"width": 4, "pool": False},
        },
    }
    return FilterRecipe.model_validate(fields | changes)


def run(folder, splits=SPLITS, name="filter", **changes):
    recipe = make_recipe(**changes)
    report = train_filter(recipe, CARD, splits, folder / f"{name}.safetensors", beside=folder)
    return report, load_into(filtered_classifier(recipe, CARD), read_weights(report.weights), "weights")


@pytest.fixture(scope="module")
def comdefend(folder):
    return run(folder, name="comdefend", **COMDEFEND)


@pytest.fixture(scope="module")
def hgd(folder):
    return run(folder, name="hgd", **HGD)


def defended(whole):
    return Defense(whole.classifier, 3, [LearnedFilter(whole.filter)])


def bare(whole):
    return Defense(whole.classifier, 3)


def right(defense, images, labels=TEST.labels):
    return float(TASK.score(defense.predict(images, Randomness(range(len(images)))), labels).float().mean())


def under_pgd(view, eps_255, draw):
    return Pgd(steps=10)(view, TASK.goal(TEST.labels), TEST.images, eps_255, draw.fork("attack"))


def streams():
    return Randomness(range(len(TEST)))


def rms(images):
    return float(images.detach().square().mean().sqrt())


def test_comdefends_code_is_binary_and_a_fraction_of_the_image(comdefend):
    filter = comdefend[1].filter
    seen = []
    filter.restoring.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    filter(TEST.images)
    assert seen[0].shape == (200, 4, SIZE, SIZE)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    assert ComDefend(3).compress(torch.rand(2, 3, 10, 12)).shape == (2, 12, 10, 12)


def test_comdefend_reconstructs_images_that_it_has_never_seen(comdefend):
    restored = comdefend[1].filter(TEST.images)
    spread = rms(TEST.images - TEST.images.mean(dim=0))
    assert rms(restored - TEST.images) < 0.4 * spread
    assert right(defended(comdefend[1]), TEST.images) > right(bare(comdefend[1]), TEST.images) - 0.1


def test_comdefend_swallows_most_of_a_small_noise(comdefend):
    """Few bits flip, and where none does nearby nothing arrives at the output."""
    filter = comdefend[1].filter
    noise = 4 / 255 * torch.randn(TEST.images.shape, generator=torch.Generator().manual_seed(0))
    noisy = TEST.images + noise
    flipped = (filter.compress(noisy) > 0) != (filter.compress(TEST.images) > 0)
    assert float(flipped.float().mean()) < 0.05
    arrived = (filter(noisy) - filter(TEST.images)).abs()
    assert float(arrived.median()) < 0.3 * float(noise.abs().median())


def test_noise_in_training_keeps_the_code_away_from_the_threshold(comdefend):
    """Bits that the noise of training could not have flipped: what makes the deployed step harmless."""
    code = comdefend[1].filter.compress(TEST.images)
    assert float((code.abs() > 10).float().mean()) > 0.5


def test_an_adaptive_attacker_gets_through_comdefends_binary_step(comdefend):
    """Held against signs drawn at random, which the same system survives, and against the undefended twin."""
    whole, draw = comdefend[1], streams()
    defense, images = defended(whole), TEST.images
    attacked = under_pgd(adaptive(defense, draw.fork("view"), 1), STRONG_255, draw)
    undefended = under_pgd(white_box(bare(whole), draw.fork("view")), STRONG_255, draw)
    signs = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).sign()
    assert right(defense, (images + STRONG_255 / 255 * signs).clamp(0, 1)) > 0.65
    assert right(defense, attacked) < right(bare(whole), undefended) + 0.1


def test_no_bit_of_comdefend_is_without_a_gradient_and_those_near_the_threshold_have_most(comdefend):
    code = comdefend[1].filter.compress(TEST.images[:20]).detach().requires_grad_()
    _Step.apply(code).sum().backward()
    assert bool((code.grad > 0).all())
    order = code.detach().abs()[:, 0].flatten(1).argsort(dim=1)
    slopes = code.grad[:, 0].flatten(1).gather(1, order)
    assert bool((slopes.diff(dim=1) <= 0).all())


@pytest.mark.slow
def test_the_guided_denoiser_restores_the_logits_of_attacked_images(hgd):
    whole, draw = hgd[1], streams()
    attacked = under_pgd(white_box(bare(whole), draw.fork("view")), 24, draw)
    clean = whole.classifier(TEST.images)
    before, after = (float((net(attacked) - clean).detach().abs().mean()) for net in (whole.classifier, whole))
    assert after < 0.6 * before
    assert right(defended(whole), attacked) > right(bare(whole), attacked) + 0.3
    assert right(defended(whole), TEST.images) > right(bare(whole), TEST.images) - 0.05


def test_an_adaptive_attacker_gets_through_the_guided_denoiser(hgd):
    whole, draw = hgd[1], streams()
    adapted = under_pgd(adaptive(defended(whole), draw.fork("view"), 1), STRONG_255, draw)
    undefended = under_pgd(white_box(bare(whole), draw.fork("view")), STRONG_255, draw)
    assert right(defended(whole), adapted) < right(bare(whole), undefended) + 0.1


@pytest.mark.slow
def test_the_pixel_guided_denoiser_brings_attacked_images_back_to_the_clean_ones(folder):
    stronger = {"eps_255": 48, "alpha_255": 16, "steps": 3}
    _, whole = run(folder, name="pixels", **HGD | {"guidance": "pixels", "adversary": stronger})
    draw = streams()
    attacked = under_pgd(white_box(bare(whole), draw.fork("view")), 48, draw)
    distance = float((attacked - TEST.images).abs().mean())
    assert float((whole.filter(attacked) - TEST.images).detach().abs().mean()) < 0.9 * distance
    assert float((whole.filter(TEST.images) - TEST.images).detach().abs().mean()) < 0.2 * distance
    assert right(defended(whole), attacked) > right(bare(whole), attacked) + 0.05


def test_the_file_holds_the_classifier_untouched(folder, hgd):
    stored = read_weights(folder / "digits.safetensors")
    written = read_weights(hgd[0].weights)
    assert {name for name in written if name.startswith("classifier.")} == {f"classifier.{name}" for name in stored}
    assert all(torch.equal(written[f"classifier.{name}"], value) for name, value in stored.items())


def test_accuracies_of_an_epoch_are_those_of_the_stored_networks(hgd):
    report, whole = hgd
    validation = SPLITS[1]
    assert right(defended(whole), validation.images, validation.labels) == pytest.approx(report.best.clean)
    assert report.best.robust == max(epoch.robust for epoch in report.log)


@pytest.mark.parametrize("method", [COMDEFEND, HGD], ids=["comdefend", "hgd"])
def test_the_same_recipe_makes_the_same_file_and_leaves_the_global_generator_alone(folder, method):
    recipe = make_recipe(**method | {"epochs": 2})
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first = train_filter(recipe, CARD, FEW, folder / "first.safetensors", beside=folder)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.rand(3)
    again, _ = run(folder, FEW, "again", **method | {"epochs": 2})
    other, _ = run(folder, FEW, "other", **method | {"epochs": 2, "seed": 2})
    assert first.weights.read_bytes() == again.weights.read_bytes()
    assert first.log == again.log
    assert first.sha256 != other.sha256


def test_epochs_are_told_as_they_end(folder):
    told = []
    recipe = make_recipe(**COMDEFEND | {"epochs": 3})
    report = train_filter(recipe, CARD, FEW, folder / "told.safetensors", told.append, beside=folder)
    assert [epoch.number for epoch in told] == [1, 2, 3]
    assert tuple(told) == report.log
    assert all(epoch.robust is None for epoch in told)


def test_batches_are_told_as_shares_of_an_epoch(folder):
    shares = []
    recipe = make_recipe(**COMDEFEND | {"epochs": 3})
    train_filter(recipe, CARD, FEW, folder / "told.safetensors", beside=folder, on_batch=shares.append)
    assert sum(shares) == pytest.approx(3)
    assert len(shares) > 3


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("method", [COMDEFEND, HGD], ids=["comdefend", "hgd"])
def test_a_filters_training_that_was_killed_goes_on_and_ends_with_the_same_bytes(folder, method):
    recipe = make_recipe(**method | {"epochs": 3})
    whole = train_filter(recipe, CARD, FEW, folder / "whole.safetensors", beside=folder)

    def die_after_two(epoch):
        if epoch.number == 2:
            raise Killed

    target = folder / f"cut-{recipe.method}.safetensors"
    with pytest.raises(Killed):
        train_filter(recipe, CARD, FEW, target, die_after_two, beside=folder)
    assert not target.exists()
    cut = train_filter(recipe, CARD, FEW, target, beside=folder)
    assert [epoch.resumed for epoch in cut.log] == [True, True, False]
    assert (cut.sha256, cut.best, cut.log) == (whole.sha256, whole.best, whole.log)
    assert not target.with_name(f"{target.name}.part").exists()


def test_a_filters_training_ends_when_its_patience_does(folder, monkeypatch):
    script = iter([0.5, 0.8, 0.7, 0.6, 0.9])
    monkeypatch.setattr(filters._Training, "_validate", lambda *_: (next(script), None))
    report, _ = run(folder, FEW, "patient", **COMDEFEND | {"epochs": 5, "patience": 2})
    assert [epoch.number for epoch in report.log] == [1, 2, 3, 4]
    assert report.best.number == 2


class OneAnswer(torch.nn.Module):
    """Calls every image class 0."""

    def forward(self, images):
        return torch.tensor([1.0, 0.0, 0.0]).expand(len(images), 3)


def rare(name, first):
    """Two of three hundred digits are of class 2, of the others two thirds of class 0."""
    whole = digit_split(name, first, 600)
    wanted = {0: 200, 1: 98, 2: 2}
    places = torch.cat([(whole.labels == label).nonzero()[:count, 0] for label, count in wanted.items()])
    ids = tuple(whole.ids[place] for place in places)
    return Split("digits", name, whole.images[places], whole.labels[places], ids, ids, tuple(CARD.classes))


@pytest.mark.parametrize(("balanced", "shares"), [(False, [0.66, 0.33, 0.01]), (True, [1 / 3] * 3)])
def test_a_balanced_recipe_shows_a_filter_each_class_as_often_however_rare_it_is(folder, balanced, shares):
    recipe = make_recipe(**COMDEFEND | {"balanced": balanced})
    training = filters._Training(recipe, CARD, (rare("train", 0), rare("val", 600)), torch.device("cpu"), folder)
    labels = torch.cat([labels for epoch in range(1, 6) for _, labels in training._batches(epoch)])
    assert len(labels) == 5 * 288
    assert torch.bincount(labels).div(len(labels)).tolist() == pytest.approx(shares, abs=0.06)


@pytest.mark.parametrize(("balanced", "clean"), [(False, 2 / 3), (True, 1 / 3)])
def test_a_balanced_recipe_chooses_a_filter_by_balanced_accuracy(folder, balanced, clean):
    recipe = make_recipe(**COMDEFEND | {"balanced": balanced})
    training = filters._Training(recipe, CARD, (rare("train", 0), rare("val", 600)), torch.device("cpu"), folder)
    training.whole = OneAnswer()
    assert training._validate(None) == (pytest.approx(clean), None)
    assert training._validate(rare("val", 600).images)[1] == pytest.approx(clean)


def test_a_recipe_that_balances_nothing_keeps_the_run_key_that_it_had_before_recipes_could():
    fields = (
        '{"kind":"filter","method":"comdefend","classifier":{"weights":"{dataset}.safetensors","architecture":'
        '"narrow-resnet18","options":{"width":4,"pool":false},"dataset_options":{}},"options":{},"seed":1,"epochs":2,'
        '"batch_size":32,"learning_rate":0.003,"shift":0,"patience":null,"noise_std":20.0,"code_weight":0.0001,'
        '"guidance":"logits","adversary":null}'
    )
    hashes = [split.content_hash for split in FEW]
    expected = content_seed("part", 1, fields, "digits", *hashes, [], "cpu", torch.__version__)
    keys = [
        run_key(make_recipe(method="comdefend", epochs=2, **more), FEW, {}, torch.device("cpu"))
        for more in ({}, {"balanced": False}, {"balanced": True})
    ]
    assert keys[0] == keys[1] == f"{expected:016x}"
    assert keys[2] != keys[0]


def test_the_record_of_a_filter_says_which_accuracy_its_own_is(folder):
    for balanced, name in ((False, "plain"), (True, "balanced")):
        run(folder, FEW, name, **COMDEFEND | {"epochs": 1, "balanced": balanced})
        assert json.loads((folder / f"{name}.training.json").read_text())["accuracy"] == name


def test_the_record_of_a_filter_tells_what_it_was_made_from(folder):
    report, _ = run(folder, FEW, "told", **COMDEFEND | {"epochs": 1})
    record = json.loads((folder / "told.training.json").read_text())
    assert record["begun_from"] == {"digits.safetensors": sha256_of(folder / "digits.safetensors")}
    assert (record["sha256"], record["epochs"]) == (report.sha256, 1)
    assert record["training_data"] == FEW[0].content_hash


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 65}, "64 images, less than one batch of 65"),
        ({"learning_rate": 1e30}, "diverged in epoch 1"),
        ({"options": {"depth": 3}}, r"\[options\] do not fit 'comdefend'.*depth"),
        ({"options": {"widths": []}}, "widths"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_writes_no_file(folder, changes, words):
    with pytest.raises(BenchError, match=words):
        run(folder, FEW, "refused", **COMDEFEND | changes)
    assert not (folder / "refused.safetensors").exists()


def test_a_classifier_without_weights_is_refused(folder):
    recipe = make_recipe(**COMDEFEND)
    with pytest.raises(BenchError, match=r"digits\.safetensors is missing"):
        train_filter(recipe, CARD, FEW, folder / "lost.safetensors", beside=folder / "nowhere")


RECIPE = """kind = "filter"
method = "hgd"
datasets = ["digits"]
seed = 1
epochs = 2

[classifier]
weights = "../natural/weights/{dataset}.safetensors"
architecture = "narrow-resnet18"

[adversary]
eps_255 = 8
alpha_255 = 2
steps = 4
"""


def test_a_recipe_is_read_with_its_defaults(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    recipe = read_filter_recipe(path)
    assert (recipe.guidance, recipe.batch_size, recipe.weights) == ("logits", 64, "weights/{dataset}.safetensors")
    assert recipe.adversary.steps == 4


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"hgd"', '"hdg"', "'comdefend' or 'hgd'"),
        ('"hgd"', '"comdefend"\nguidance = "pixels"', "method 'comdefend' takes no 'guidance'; remove it"),
        ("seed = 1", "seed = 1\nnoise_std = 20", "method 'hgd' takes no 'noise_std'"),
        (RECIPE[RECIPE.index("[adversary]") :], "", r"method 'hgd' needs an \[adversary\] table"),
        ("epochs = 2", "epoch = 2", "Did you mean 'epochs'"),
        ('"filter"', '"classifier"', "'kind'"),
        ("architecture", "architektur", "classifier.architektur"),
    ],
)
def test_a_bad_recipe_is_one_sentence(tmp_path, old, new, words):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace(old, new))
    with pytest.raises(BenchError, match=words) as refusal:
        read_filter_recipe(path)
    assert "\n" not in str(refusal.value)


def test_a_missing_recipe_is_refused(tmp_path):
    with pytest.raises(BenchError, match="there is no recipe"):
        read_filter_recipe(tmp_path / "recipe.toml")
