"""Every shipped entry deploys what its recipe trains; a network of the same weights and another shape is recognised."""

import pytest

from benchmark.data.registry import find_card
from benchmark.root import find_root
from benchmark.submission import all_entries, find_entry
from benchmark.submission.manifest import weights_path
from benchmark.training.deployed import deploys
from benchmark.training.plans import datasets_of, read_plan
from benchmark.training.recipe import find_recipes

ROOT = find_root()
SHIPPED = [
    pytest.param(entry, path, dataset, id=f"{entry.name}-{path.stem}-{dataset}")
    for entry in all_entries(ROOT)
    for path in find_recipes(ROOT, entry.name)
    for dataset in datasets_of(ROOT, path)
]


@pytest.mark.parametrize(("entry", "path", "dataset"), SHIPPED)
def test_a_shipped_entry_deploys_the_network_that_its_recipe_trains(entry, path, dataset):
    _, plan = read_plan(ROOT, path)
    weights = weights_path(entry.folder, entry.manifest, dataset)
    assert deploys(entry, plan, find_card(dataset, ROOT), weights)


def test_every_weight_file_of_a_shipped_entry_has_a_recipe():
    named = {(entry.name, dataset) for entry in all_entries(ROOT) for dataset in entry.manifest.weights}
    assert {(case.values[0].name, case.values[2]) for case in SHIPPED} == named


def test_the_same_weights_in_another_network_are_recognised():
    entry, card = find_entry(ROOT, "pgd_at"), find_card("synthetic_cxr", ROOT)
    _, plan = read_plan(ROOT, ROOT.submissions / "pgd_at" / "recipe-synthetic.toml")
    pooled = plan.model_copy(update={"options": {**plan.options, "pool": True}})
    assert not deploys(entry, pooled, card, entry.folder / "weights" / "synthetic_cxr.safetensors")
