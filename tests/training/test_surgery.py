"""Recipes that alter the network inside: what is refused, what is stored, and which statistics see which images."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.defense.surgery import (
    BoundedReLU,
    DropMaxPool2d,
    DualBatchNorm2d,
    statistics,
    with_dual_batch_norm,
)
from benchmark.errors import BenchError
from benchmark.models import ARCHITECTURES, NarrowResNet18
from benchmark.root import Root
from benchmark.submission import find_entry
from benchmark.submission.scaffold import scaffold
from benchmark.submission.weights import load_into, read_weights
from benchmark.training import read_recipe, train
from benchmark.training.deployed import deploys
from benchmark.training.methods import Examples, MethodContext, build_method
from benchmark.training.recipe import TWO_PASSES, untrained_network

from .conftest import make_card, make_recipe
from .problem import accuracies, make_problem

ADVERSARY = {"eps_255": 8, "alpha_255": 4, "steps": 3}
POOLED = {"width": 2, "pool": True}
OTHER = {"weights": "other.safetensors"}
BOTH: dict[str, dict[str, object]] = {
    "pgd_at": {"mixture": {}},
    "trades": {},
    "mart": {},
    "hat": {"helper": OTHER},
    "maadvt": {},
    "ima": {},
    "ensemble_at": {"surrogates": [OTHER]},
    "mpadvt": {"perturbations": {"share": 0.5}},
    "ard": {"teacher": OTHER | {"alpha": 0.5}, "distillation": {"temperature": 2}},
}
"""Methods that look at clean and attacked images, and the tables with which they do."""

RECIPE = """method = "pgd_at"
datasets = ["tiny"]
architecture = "narrow-resnet18"
seed = 1
epochs = 2
adversary = { eps_255 = 8, alpha_255 = 2, steps = 1 }
"""


@pytest.mark.parametrize(
    ("changed", "tables", "words"),
    [
        ({}, '[surgery]\npooling = "mean"\n', "'average' or 'drop_max'"),
        ({}, "[surgery]\nrelu_bound = 0\n", "'surgery.relu_bound'"),
        ({}, "[surgery]\nrelu_bound = inf\n", "'surgery.relu_bound'"),
        ({}, "[surgery]\n", "[surgery] is empty"),
        ({}, "[surgery]\npoling = 'average'\n", "field 'surgery.poling' is unknown. Did you mean 'pooling'?"),
        ({}, "[mixture]\nclean = 1\n", "'mixture.clean'"),
        ({}, "[surgery]\ndual_batch_norm = 'both'\n", "'main' or 'auxiliary'"),
        ({}, "[surgery]\ndual_batch_norm = 'main'\n", "add a [mixture] table"),
        ({"pgd_at": "fat"}, "[surgery]\ndual_batch_norm = 'main'\n", "method 'fat' does not have here; take another"),
        (
            {"pgd_at": "mpadvt"},
            "[perturbations]\nshare = 1\n[surgery]\ndual_batch_norm = 'main'\n",
            "lower share in [perturbations] below 1",
        ),
        (
            {"pgd_at": "ard"},
            "[teacher]\nweights = 'a'\n[distillation]\ntemperature = 2\n[surgery]\ndual_batch_norm = 'main'\n",
            "lower alpha in [teacher] below 1",
        ),
        ({"pgd_at": "trades"}, "[mixture]\n", "method 'trades' takes no [mixture] table"),
    ],
)
def test_a_recipe_of_impossible_surgery_is_refused_in_one_sentence(tmp_path, changed, tables, words):
    text = RECIPE
    for old, new in changed.items():
        text = text.replace(old, new)
    (tmp_path / "recipe.toml").write_text(text + tables)
    with pytest.raises(BenchError) as refusal:
        read_recipe(tmp_path / "recipe.toml")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_surgery_that_the_architecture_has_no_layer_for_is_refused_before_training(run):
    with pytest.raises(BenchError, match="no max-pool"):
        run(surgery={"pooling": "average"})


@pytest.mark.parametrize(
    ("surgery", "kind", "gone"),
    [
        ({"pooling": "average"}, nn.AvgPool2d, nn.MaxPool2d),
        ({"pooling": "drop_max"}, DropMaxPool2d, nn.MaxPool2d),
        ({"relu_bound": 1.5}, BoundedReLU, nn.ReLU),
    ],
    ids=["average", "drop-max", "bounded"],
)
def test_the_recipes_network_is_altered(surgery, kind, gone):
    network = untrained_network(make_recipe(options=POOLED, surgery=surgery), make_card())
    kinds = {type(module) for module in network.modules()}
    assert kind in kinds
    assert gone not in kinds


def test_an_altered_network_learns_what_the_published_one_does_not_answer(run, splits):
    options = {"width": 8, "pool": True}
    changes = {"options": options, "epochs": 10, "surgery": {"pooling": "average", "relu_bound": 2.0}}
    report = run(**changes)
    assert report.best.clean > 0.9
    published = load_into(NarrowResNet18(2, **options), read_weights(report.weights), "weights")
    altered = load_into(untrained_network(make_recipe(**changes), make_card()), read_weights(report.weights), "weights")
    images = splits[1].images
    assert not torch.allclose(published(images), altered(images), atol=1e-2)


def test_an_entry_loads_what_was_trained_after_the_same_surgery_and_is_told_apart_without(run, tmp_path):
    recipe = make_recipe(options=POOLED, surgery={"pooling": "average"})
    report = run(options=POOLED, surgery={"pooling": "average"})
    folder = scaffold(tmp_path / "submissions", "own", [make_card()])
    weights = folder / "weights" / "tiny.safetensors"
    weights.write_bytes(report.weights.read_bytes())
    manifest = folder / "submission.toml"
    manifest.write_text(
        "\n".join(
            f'sha256 = "{report.sha256}"' if line.startswith("sha256") else line
            for line in manifest.read_text().splitlines()
        )
    )
    code = (folder / "defense.py").read_text().replace("width=8", "width=2")
    altered = code.replace("context.load_weights(network)", "context.load_weights(with_average_pooling(network))")
    altered = altered.replace(
        "import Defense\n", "import Defense\nfrom benchmark.defense.surgery import with_average_pooling\n"
    )
    for written, same in ((altered, True), (code, False)):
        (folder / "defense.py").write_text(written)
        assert deploys(find_entry(Root(tmp_path), folder.name), recipe, make_card(), weights) is same


def test_one_half_of_dual_batch_norm_is_stored_and_fits_the_published_architecture(run):
    surgery = {"dual_batch_norm": "auxiliary"}
    report = run(method="trades", adversary=ADVERSARY, surgery=surgery)
    load_into(NarrowResNet18(2, width=2, pool=False), read_weights(report.weights), "weights")
    assert run(method="trades", adversary=ADVERSARY, surgery={"dual_batch_norm": "main"}).sha256 != report.sha256


def test_the_checkpoint_is_chosen_by_the_half_that_is_stored(run, splits):
    """Validation's clean accuracy is that of the stored file."""
    for half in ("main", "auxiliary"):
        report = run(method="pgd_at", mixture={}, adversary=ADVERSARY, surgery={"dual_batch_norm": half}, epochs=3)
        network = load_into(NarrowResNet18(2, width=2, pool=False), read_weights(report.weights), "weights")
        right = network(splits[1].images).argmax(dim=1) == splits[1].labels
        assert float(right.float().mean()) == pytest.approx(report.best.clean)


class Watched(nn.Module):
    """One batch normalisation and a linear layer; notes of each pass: training, statistics in use, the images."""

    passes: list[tuple[bool, str, Tensor]]

    def __init__(self, num_classes: int = 2, channels: int = 1, **_: object) -> None:
        super().__init__()
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        self.layer = nn.LazyLinear(num_classes)

    def forward(self, images: Tensor) -> Tensor:
        if isinstance(self.norm, DualBatchNorm2d):
            Watched.passes.append((self.training, self.norm.used, images.detach()))
        return self.layer(self.norm(images).flatten(1))


@pytest.fixture
def watched(monkeypatch):
    Watched.passes = []
    monkeypatch.setitem(ARCHITECTURES, "watched", Watched)
    return Watched


def test_every_method_that_looks_at_both_kinds_of_images_is_tried_here():
    assert set(TWO_PASSES) | {"pgd_at", "mpadvt", "ard"} == set(BOTH)


@pytest.mark.parametrize("method", sorted(BOTH))
def test_in_the_loss_clean_images_meet_their_own_statistics_and_attacked_ones_theirs(watched, run, tmp_path, method):
    other = run()
    other.weights.rename(tmp_path / "other.safetensors")
    tables = {"architecture": "narrow-resnet18", "adversary": ADVERSARY, **BOTH[method]}
    recipe = make_recipe(method=method, surgery={"dual_batch_norm": "auxiliary"}, **tables)
    built = build_method(MethodContext(recipe, make_card(), tmp_path, torch.device("cpu")))
    clean, labels = torch.rand(8, 1, 8, 8), torch.arange(8) % 2
    aim = torch.rand(8, 2) if method == "ard" else labels
    examples = Examples(clean, labels, clean + 0.01, aim=aim, weights=torch.ones(8))
    assert built.loss(with_dual_batch_norm(Watched()).train(), examples).isfinite()
    used = {(half, torch.equal(images, clean)) for _, half, images in watched.passes}
    # MPAdvT attacks this batch as a whole.
    assert used == {("auxiliary", False)} | (set() if method == "mpadvt" else {("main", True)})


def test_a_batch_that_mpadvt_leaves_clean_meets_the_statistics_of_clean_images(watched):
    recipe = make_recipe(method="mpadvt", adversary=ADVERSARY, surgery={"dual_batch_norm": "auxiliary"})
    method = build_method(MethodContext(recipe, make_card(), Path(), torch.device("cpu")))
    clean, labels = torch.rand(8, 1, 8, 8), torch.arange(8) % 2
    method.loss(with_dual_batch_norm(Watched()).train(), Examples(clean, labels, clean))
    assert [half for _, half, _ in watched.passes] == ["main"]


def test_attacked_images_are_made_with_the_statistics_of_attacked_images(watched, splits, tmp_path):
    recipe = make_recipe(
        method="pgd_at",
        mixture={},
        adversary=ADVERSARY,
        architecture="watched",
        options={},
        epochs=1,
        surgery={"dual_batch_norm": "auxiliary"},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "watched", _ready)
        train(recipe, make_card(), splits, tmp_path / "weights.safetensors")
    made = {half for training, half, _ in watched.passes if not training}
    assert made == {"auxiliary"}
    assert {half for training, half, _ in watched.passes if training} == {"main", "auxiliary"}


def _ready(num_classes: int, channels: int, mean: object = None, std: object = None) -> Watched:
    network = Watched(num_classes, channels)
    network(torch.zeros(1, channels, 8, 8))
    return network


def test_statistics_of_a_block_end_with_it_and_leave_single_batch_norm_alone():
    network = with_dual_batch_norm(nn.Sequential(nn.BatchNorm2d(1)))
    with statistics(network, "auxiliary"):
        with statistics(network, "main"):
            assert network[0].used == "main"
        assert network[0].used == "auxiliary"
    assert network[0].used == "main"
    with statistics(nn.Sequential(nn.BatchNorm2d(1)), "auxiliary"):
        pass


TRAINING, VALIDATION = make_problem("train", 256, 0), make_problem("val", 128, 1)
# A checkpoint chosen under attack would hide what clean accuracy a half can have.
UNBIASED = {"eps_255": 0.01, "alpha_255": 0.01, "steps": 1}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Clean and robust test accuracy of PGD-AT on clean and attacked images: ``mixed(half or None, **changes)``."""
    folder = tmp_path_factory.mktemp("mixed")

    def _mixed(half: str | None, **changes: object) -> tuple[float, float]:
        common = {"adversary": ADVERSARY, "mixture": {}, "epochs": 6, "shift": 0, "batch_size": 32}
        common |= {"options": {"width": 4, "pool": False}}
        surgery = {} if half is None else {"surgery": {"dual_batch_norm": half}}
        recipe = make_recipe(method="pgd_at", **(common | surgery | changes))
        report = train(recipe, make_card(), (TRAINING, VALIDATION), folder / f"{half}.safetensors")
        network = untrained_network(recipe, make_card())
        return accuracies(load_into(network, read_weights(report.weights), "weights"))

    return _mixed


@pytest.mark.slow
def test_a_share_of_clean_images_buys_clean_accuracy(mixed):
    assert mixed(None, validation=UNBIASED)[0] > mixed(None, mixture=None)[0]


@pytest.mark.slow
def test_the_main_half_keeps_more_clean_accuracy_than_single_batch_norm(mixed):
    """Han et al. 2021: dual batch normalisation brings back what adversarial training costs on clean images."""
    assert mixed("main", validation=UNBIASED)[0] > mixed(None, validation=UNBIASED)[0] + 0.01


@pytest.mark.slow
def test_the_auxiliary_half_stands_where_attacks_break_the_main_one(mixed):
    assert mixed("auxiliary")[1] > mixed("main")[1] + 0.1
