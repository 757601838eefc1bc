"""What a shipped entry's model card says agrees with its recipes, its records and what it deploys."""

import json
import re
from pathlib import Path

import pytest

from benchmark.data.registry import find_card
from benchmark.defense.stages import BinomialVote
from benchmark.models.comdefend import ComDefend
from benchmark.root import find_root
from benchmark.submission import all_entries
from benchmark.training.filter_recipe import FilterRecipe
from benchmark.training.plans import Plan, read_plan
from benchmark.training.recipe import Recipe, find_recipes

ROOT = find_root()
ENTRIES = list(all_entries(ROOT))
NAMES = {"synthetic_cxr": "the embedded set", "pneumoniamnist": "PneumoniaMNIST", "isic2017_64": "ISIC"}
"""What the cards call the data sets."""

PLANS = [
    pytest.param(entry, plan, id=f"{entry.name}-{path.stem}")
    for entry in ENTRIES
    for path in find_recipes(ROOT, entry.name)
    for followed, plan in [read_plan(ROOT, path)]
    if followed == path
]
"""Every recipe of an entry's own."""

OWN = sorted({case.values[0].name for case in PLANS})
"""Entries whose weights are trained for them, not another entry's."""

entries = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
own_entries = pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES if entry.name in OWN], ids=lambda entry: entry.name
)
own_plans = pytest.mark.parametrize(("entry", "plan"), PLANS)


def text_of(entry) -> str:
    return (entry.folder / "README.md").read_text("utf-8")


def words_of(entry) -> str:
    """The card on one line."""
    return " ".join(text_of(entry).split())


def plans_of(entry) -> list[Plan]:
    return [case.values[1] for case in PLANS if case.values[0].name == entry.name]


def tables_of(text: str) -> list[list[list[str]]]:
    """Cells of each table's rows, headers first and without the line below them."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()] for table in found]


def weights_table(entry) -> dict[str, list[str]]:
    """Recipe, seed and training data by data set."""
    table = next(table for table in tables_of(text_of(entry)) if table[0][:2] == ["data set", "recipe"])
    return {row[0]: [cell.strip("`") for cell in row[1:]] for row in table[2:]}


def number(value: float) -> str:
    return f"{value:g}"


@entries
def test_every_row_of_a_table_has_as_many_cells_as_its_header(entry):
    for table in tables_of(text_of(entry)):
        assert {len(row) for row in table} == {len(table[0])}, table[0]


@entries
def test_the_table_of_weights_names_every_data_set_and_the_recipe_and_seed_that_trained_it(entry):
    table = weights_table(entry)
    assert set(table) == set(entry.manifest.weights)
    for dataset, (recipe, seed, _) in table.items():
        path, plan = read_plan(ROOT, (entry.folder / recipe).resolve())
        assert path == (entry.folder / recipe).resolve()
        assert dataset in plan.datasets
        assert seed == str(plan.seed)


@entries
def test_the_weights_of_one_data_set_are_trained_on_the_same_images_in_every_card(entry):
    trained_on = {name: {card[name][2] for card in map(weights_table, ENTRIES) if name in card} for name in NAMES}
    assert all(trained_on[name] == {row[2]} for name, row in weights_table(entry).items())


def record_of(entry, dataset: str) -> dict | None:
    weights = entry.folder / entry.manifest.weights[dataset].file
    path: Path = weights.with_name(f"{weights.stem}.training.json")
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


@own_entries
def test_a_card_names_the_weights_without_a_full_record(entry):
    paragraphs = re.split(r"\n\n", text_of(entry))
    told = [paragraph.split(".")[0] for paragraph in paragraphs if paragraph.startswith("No full record:")]
    without = {name for name in entry.manifest.weights if "training_data" not in (record_of(entry, name) or {})}
    assert set(re.findall(r"`(\w+)`", " ".join(told))) == without


@own_entries
def test_weights_without_a_record_have_log_curve_and_record_of_a_repeat_beside_them(entry):
    """Of the same recipe and data; what sets the bytes apart is the processor."""
    for dataset, named in entry.manifest.weights.items():
        weights = entry.folder / named.file
        beside = [weights.with_name(f"{dataset}.repeat.{end}") for end in ("log.csv", "curve.svg", "training.json")]
        if record_of(entry, dataset) is not None:
            assert not any(path.exists() for path in beside)
            continue
        record = json.loads(beside[2].read_text("utf-8"))
        recipe, _, data = weights_table(entry)[dataset]
        _, plan = read_plan(ROOT, (entry.folder / recipe).resolve())
        assert (record["training_data"], record["epochs"], record["method"]) == (data, plan.epochs, plan.method)
        assert record["sha256"] != named.sha256
        assert len(beside[0].read_text("utf-8").splitlines()) > plan.epochs
        assert "<svg" in beside[1].read_text("utf-8")
        assert "`*.repeat.*`" in text_of(entry)


@own_entries
def test_a_record_is_that_of_the_shipped_weights_and_of_the_data_that_the_card_names(entry):
    for dataset, named in entry.manifest.weights.items():
        record = record_of(entry, dataset)
        if record is not None:
            assert record["sha256"] == named.sha256
            assert record.get("training_data", weights_table(entry)[dataset][2]) == weights_table(entry)[dataset][2]


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.name not in OWN], ids=lambda entry: entry.name)
def test_weights_that_a_card_calls_another_entrys_are_its_bytes(entry):
    (other,) = re.findall(r"This entry uses the weights of `(\w+)`", words_of(entry))
    (owner,) = (known for known in ENTRIES if known.name == other)
    assert {name: w.sha256 for name, w in entry.manifest.weights.items()} == {
        name: owner.manifest.weights[name].sha256 for name in entry.manifest.weights
    }


@own_plans
def test_a_card_tells_how_long_each_recipe_trains(entry, plan):
    assert f"{plan.epochs} epochs" in words_of(entry)


@own_entries
def test_a_card_tells_the_shifts_and_rotations_of_its_recipes_and_no_others(entry):
    plans = plans_of(entry)
    shifts = {str(plan.shift) for plan in plans}
    turns = {number(plan.augment.rotate) for plan in plans if isinstance(plan, Recipe) and plan.augment}
    assert set(re.findall(r"by up to (\S+) pixels?", words_of(entry))) == shifts
    assert set(re.findall(r"(\S+) degrees", words_of(entry))) == turns


@own_entries
def test_a_card_tells_the_other_augmentations_of_its_recipes_and_no_others(entry):
    plans = [plan for plan in plans_of(entry) if isinstance(plan, Recipe)]
    tables = [plan.augment for plan in plans if plan.augment]
    assert ("flipped horizontally" in words_of(entry)) == any(plan.flip for plan in plans)
    for name in ("brightness", "contrast"):
        amounts = {number(getattr(table, name)) for table in tables if getattr(table, name)}
        assert set(re.findall(rf"{name} \(([\d.]+)\)", words_of(entry))) == amounts


@own_plans
def test_a_card_tells_the_steps_of_its_recipes_adversary(entry, plan):
    adversary = plan.adversary
    if adversary is None:
        assert "steps of" not in words_of(entry)
        return
    assert f"{adversary.steps} steps of {number(adversary.alpha_255)}/255" in words_of(entry)
    assert f"{number(adversary.eps_255)}/255" in words_of(entry)


@own_plans
def test_a_card_tells_which_network_is_tuned_on_which_data_and_how_long_the_adversary_grows(entry, plan):
    words = words_of(entry)
    start = plan.start_from if isinstance(plan, Recipe) else None
    if start is None:
        assert not any(
            re.search(rf"On {NAMES[dataset]}[^.]* fine-tuned|epochs on {NAMES[dataset]}", words)
            for dataset in plan.datasets
        )
        return
    (other,) = re.findall(r"\.\./(\w+)/weights", start)
    told = re.findall(rf"[^.]* fine-tuned from `{other}`[^.]*\.", words)
    assert len(told) == 1
    several = sum(isinstance(each, Recipe) and bool(each.start_from) for each in plans_of(entry)) > 1
    for dataset in plan.datasets:
        where = f" on {NAMES[dataset]}" if several else ""
        assert several or f"On {NAMES[dataset]} " in told[0]
        assert re.search(rf"(for|and) {plan.epochs} epochs{where}", told[0])
        if plan.adversary.warmup:
            assert f"first {plan.adversary.warmup} epochs{where}" in told[0]


@own_plans
def test_a_card_says_where_a_network_is_trained_from_scratch_against_an_adversary(entry, plan):
    if isinstance(plan, Recipe) and plan.adversary and not plan.start_from:
        (dataset,) = plan.datasets
        assert f"On {NAMES[dataset]} the network is trained from scratch" in words_of(entry)


@own_plans
def test_a_card_says_where_classes_were_balanced(entry, plan):
    words = words_of(entry)
    if isinstance(plan, Recipe):
        assert ("on ISIC balanced accuracy" in words) == any(p.balanced for p in plans_of(entry))
    elif "isic2017_64" in plan.datasets:
        assert ("On ISIC the filter was trained and chosen without class balance" in words) == (not plan.balanced)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.name.startswith("comdefend")], ids=lambda entry: entry.name)
def test_a_card_tells_the_binary_maps_of_comdefend(entry):
    (plan,) = plans_of(entry)
    assert isinstance(plan, FilterRecipe)
    filters = [ComDefend(find_card(name, ROOT).channels, **plan.options) for name in plan.datasets]
    told = {int(count) for count in re.findall(r"(\d+) binary maps", words_of(entry))}
    assert told == {filter.maps for filter in filters}


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.name.startswith("medrdf")], ids=lambda entry: entry.name)
def test_a_card_tells_the_copies_that_medrdf_deploys_and_whether_the_paper_deploys_more(entry):
    vote = entry.build(find_card(entry.manifest.datasets[0], ROOT)).vote
    assert isinstance(vote, BinomialVote)
    words = words_of(entry)
    assert f"up to {vote.copies:,} ".replace(",", " ") in words
    assert ("this entry at most 200" in words) == (vote.copies == 200)
    assert ("Difference from the paper: the paper deploys n = 10 000 copies" in words) == (vote.copies < 10_000)


@entries
def test_a_card_says_whether_the_matrix_has_judged_the_entry(entry):
    judged = any((ROOT.official_results / dataset / entry.name).is_dir() for dataset in entry.manifest.datasets)
    assert ("no official rows" in words_of(entry)) == (not judged)


def test_make_train_names_every_entry_with_weights_of_its_own_and_no_other():
    makefile = (ROOT.path / "Makefile").read_text("utf-8").replace("\\\n", " ")
    (recipes,) = re.findall(r"^RECIPES := (.*)$", makefile, re.MULTILINE)
    assert sorted(recipes.split()) == OWN
