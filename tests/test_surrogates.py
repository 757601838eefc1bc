"""Surrogates are found by name, hashed one by one, and averaged as an ensemble."""

import hashlib
from pathlib import Path

import pytest
import torch

from benchmark.data.registry import find_card
from benchmark.errors import BenchError
from benchmark.models import build_network
from benchmark.root import Root
from benchmark.submission.weights import save_weights
from benchmark.surrogates import load_surrogate, surrogate_hash, surrogate_names

CARD = find_card("synthetic_cxr", Root(Path(__file__).parents[1]))
RECIPE = """
method = "natural"
datasets = ["synthetic_cxr"]
architecture = "small-mobilenetv2"
weights = "{name}.safetensors"
seed = 0
epochs = 1
[options]
width = {width}
"""


def ship(root: Root, name: str, width: float) -> None:
    folder = root.datasets / CARD.name / "surrogates"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(RECIPE.format(name=name, width=width))
    with torch.random.fork_rng():
        torch.manual_seed(int(100 * width))
        network = build_network("small-mobilenetv2", len(CARD.classes), CARD.channels, width=width)
    save_weights(network, folder / f"{name}.safetensors")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def test_without_a_name_the_mobilenet_is_meant_whatever_else_lies_there(root):
    ship(root, "densenet", 0.1)
    ship(root, "mobilenetv2", 0.2)
    images = torch.rand(2, CARD.channels, 32, 32, generator=torch.Generator().manual_seed(0))
    meant = load_surrogate(root, CARD)
    assert not meant.training
    assert torch.equal(meant(images), load_surrogate(root, CARD, "mobilenetv2")(images))
    assert not torch.equal(meant(images), load_surrogate(root, CARD, "densenet")(images))


def test_the_ensemble_averages_the_logits_of_all(root):
    for name, width in (("densenet", 0.1), ("mobilenetv2", 0.2), ("vgg", 0.3)):
        ship(root, name, width)
    images = torch.rand(3, CARD.channels, 32, 32, generator=torch.Generator().manual_seed(0))
    each = [load_surrogate(root, CARD, name)(images) for name in surrogate_names(root, CARD.name)]
    ensemble = load_surrogate(root, CARD, "ensemble")
    assert not any(module.training for module in ensemble.modules())
    torch.testing.assert_close(ensemble(images), sum(each) / 3)


def test_a_single_surrogates_hash_covers_its_recipe_then_its_weights_by_name(root):
    """The digest of the time when a data set had one surrogate, on which finished rows rest."""
    ship(root, "mobilenetv2", 0.2)
    digest = hashlib.sha256()
    for path in sorted((root.datasets / CARD.name / "surrogates").glob("*")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    assert surrogate_hash(root, CARD.name) == digest.hexdigest()


def test_a_further_surrogate_renews_the_ensembles_hash_only(root):
    ship(root, "mobilenetv2", 0.2)
    ship(root, "vgg", 0.1)
    before = {name: surrogate_hash(root, CARD.name, name) for name in ("mobilenetv2", "vgg", "ensemble")}
    assert len(set(before.values())) == 3
    ship(root, "densenet", 0.3)
    after = {name: surrogate_hash(root, CARD.name, name) for name in before}
    assert {name for name in before if before[name] != after[name]} == {"ensemble"}


def test_changed_weights_renew_the_hash_of_their_surrogate(root):
    ship(root, "vgg", 0.1)
    before = surrogate_hash(root, CARD.name, "vgg")
    save_weights(torch.nn.Linear(2, 2), root.datasets / CARD.name / "surrogates" / "vgg.safetensors")
    assert surrogate_hash(root, CARD.name, "vgg") != before


def test_a_data_set_without_surrogates_has_an_empty_hash_and_says_how_to_get_one(root):
    assert surrogate_hash(root, CARD.name) == ""
    with pytest.raises(BenchError, match="bench train surrogates"):
        load_surrogate(root, CARD, "vgg")


def test_a_surrogate_that_is_not_there_is_refused_with_those_that_are(root):
    ship(root, "mobilenetv2", 0.2)
    ship(root, "vgg", 0.1)
    with pytest.raises(BenchError, match="no surrogate 'densenet'; take one of mobilenetv2, vgg"):
        load_surrogate(root, CARD, "densenet")


def test_an_ensemble_of_one_is_refused(root):
    ship(root, "mobilenetv2", 0.2)
    with pytest.raises(BenchError, match="an ensemble needs two"):
        load_surrogate(root, CARD, "ensemble")
