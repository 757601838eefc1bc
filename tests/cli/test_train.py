"""``bench train``: what it writes, that it goes on where it stopped, and what it refuses."""

import hashlib
import json

import numpy as np
import pytest

from benchmark.models import ARCHITECTURES
from benchmark.training import train as train_package
from benchmark.training.log import Paths
from benchmark.training.methods import METHODS

CARD = """name = "tiny"
title = "Tiny"
modality = "none"
task = "binary"
classes = ["dark", "bright"]
size = 8
channels = 1
source = "a test"
licence = "none"
citation = "none"
loader = "npz"
patient_ids = false

[splits]
train = 64
val = 24
test = 16

[official]
count = 8
drawn = "by rule"

[npz]

[[files]]
name = "tiny.npz"
sha256 = ["{sha256}"]
how_to_get = "make it"
"""

RECIPE = """method = "{method}"
datasets = ["tiny"]
architecture = "narrow-resnet18"
seed = 1
epochs = 3
batch_size = 16

[options]
width = 2
pool = false
"""

ADVERSARY = "\n[adversary]\neps_255 = 8\nalpha_255 = 4\nsteps = 2\n"


@pytest.fixture
def tiny(project):
    """A project with the data set ``tiny``; returns a function that writes a recipe into ``submissions/own``."""
    arrays = {}
    for seed, (split, count) in enumerate({"train": 64, "val": 24, "test": 16}.items()):
        labels = np.arange(count) % 2
        images = np.random.default_rng(seed).integers(60, 120, (count, 8, 8)) + 60 * labels[:, None, None]
        arrays |= {f"{split}_images": images.astype(np.uint8), f"{split}_labels": labels[:, None]}
    np.savez(project / "data" / "tiny.npz", **arrays)
    sha256 = hashlib.sha256((project / "data" / "tiny.npz").read_bytes()).hexdigest()
    (project / "datasets" / "tiny").mkdir()
    (project / "datasets" / "tiny" / "dataset.toml").write_text(CARD.format(sha256=sha256))
    (project / "submissions" / "own").mkdir()

    def write(method="natural", tables=""):
        path = project / "submissions" / "own" / "recipe.toml"
        path.write_text(RECIPE.format(method=method) + tables)
        return path

    return write


def weights_of(project):
    return project / "submissions" / "own" / "weights" / "tiny.safetensors"


def test_training_writes_weights_and_beside_them_log_curve_and_record(bench, project, tiny):
    tiny("trades", ADVERSARY)
    answer = bench("--root", project, "train", "own")
    assert answer.code == 0, answer.err
    sha256 = hashlib.sha256(weights_of(project).read_bytes()).hexdigest()
    assert sha256 in answer.out
    assert "under attack" in answer.out
    paths = Paths(weights_of(project))
    assert json.loads(paths.record.read_text())["sha256"] == sha256
    assert len(paths.table.read_text().splitlines()) == 4
    assert paths.curve.read_text().startswith("<svg")
    assert not paths.part.exists()


def test_the_progress_bar_moves_with_every_batch(bench, project, tiny, monkeypatch):
    moved = []
    monkeypatch.setattr("rich.progress.Progress.advance", lambda _, task, share: moved.append(share))
    tiny("trades", ADVERSARY)
    assert bench("--root", project, "train", "own").code == 0
    assert len(moved) > 3
    assert sum(moved) == pytest.approx(3)


@pytest.mark.parametrize(("pool", "warned"), [("False", False), ("True", True)])
def test_an_entry_that_builds_another_network_than_the_recipe_is_warned_of(bench, project, tiny, pool, warned):
    folder = tiny().parent
    (folder / "submission.toml").write_text(
        'name = "own"\ntitle = "Own"\nauthors = ["A test"]\ntask = "classification"\ndatasets = ["tiny"]\n'
        'architecture = "any"\ndefense_family = "none"\nrevision = 1\n'
    )
    (folder / "defense.py").write_text(
        "from benchmark.defense import Defense\nfrom benchmark.models import NarrowResNet18\n\n\n"
        "def build(context):\n"
        f"    network = NarrowResNet18(context.num_classes, context.channels, width=2, pool={pool})\n"
        "    return Defense(context.load_weights(network), context.num_classes)\n"
    )
    answer = bench("--root", project, "train", "own")
    assert answer.code == 0, answer.err
    assert ("builds another network for 'tiny' than the recipe trained" in answer.err) is warned


def test_another_submissions_recipe_trains_on_the_data_sets_that_the_entry_names_alone(bench, project, tiny):
    path = tiny()
    path.write_text(path.read_text().replace('["tiny"]', '["synthetic_cxr", "tiny"]'))
    folder = project / "submissions" / "behind"
    folder.mkdir()
    (folder / "recipe.toml").write_text('same_as = "own"\n')
    (folder / "submission.toml").write_text(
        'name = "behind"\ntitle = "Behind"\nauthors = ["A test"]\ntask = "classification"\ndatasets = ["tiny"]\n'
        'architecture = "any"\ndefense_family = "none"\nrevision = 1\n'
    )
    (folder / "defense.py").write_text(
        "from benchmark.defense import Defense\nfrom benchmark.models import NarrowResNet18\n\n\n"
        "def build(context):\n"
        "    network = NarrowResNet18(context.num_classes, context.channels, width=2, pool=False)\n"
        "    return Defense(context.load_weights(network), context.num_classes)\n"
    )
    answer = bench("--root", project, "train", "behind")
    assert answer.code == 0, answer.err
    assert [path.name for path in (folder / "weights").glob("*.safetensors")] == ["tiny.safetensors"]
    refused = bench("--root", project, "train", "behind", "--dataset", "synthetic_cxr").sentence
    assert "is not for data set 'synthetic_cxr'; it names tiny" in refused


def test_a_killed_training_is_gone_on_with_by_the_same_command(bench, project, tiny, tmp_path, monkeypatch):
    tiny("pgd_at", ADVERSARY)
    whole = bench("--root", project, "train", "own", "--output", tmp_path / "whole")
    assert whole.code == 0, whole.err
    honest = train_package.__globals__["Fit"].state
    calls = []

    def killed_at_second(fit):
        calls.append(fit)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return honest(fit)

    monkeypatch.setattr(train_package.__globals__["Fit"], "state", killed_at_second)
    assert bench("--root", project, "train", "own", "--output", tmp_path / "cut").code != 0
    monkeypatch.undo()
    monkeypatch.setenv("BENCH_DATA", str(project / "data"))
    again = bench("--root", project, "train", "own", "--output", tmp_path / "cut")
    assert again.code == 0, again.err
    assert again.out.count("done before the interruption") == 1
    name = "weights/tiny.safetensors"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_first_stage_of_a_method_is_told_apart(bench, project, tiny):
    tiny("defensive_distillation", "\n[distillation]\ntemperature = 5\n")
    out = bench("--root", project, "train", "own").out
    assert out.count("first stage, epoch") == 3
    assert out.count("epoch") - out.count("first stage, epoch") == 4


def test_a_recipe_for_a_filter_goes_to_the_filters_trainer(bench, project, tiny, monkeypatch):
    from benchmark.training import plans

    tiny()
    assert bench("--root", project, "train", "own").code == 0
    folder = project / "submissions" / "filtered"
    folder.mkdir()
    (folder / "recipe.toml").write_text(
        'kind = "filter"\nmethod = "comdefend"\ndatasets = ["tiny"]\nseed = 1\nepochs = 1\nbatch_size = 16\n'
        '[classifier]\nweights = "../own/weights/{dataset}.safetensors"\narchitecture = "narrow-resnet18"\n'
        "options = { width = 2, pool = false }\n"
    )
    seen = []
    honest = plans.train_filter
    monkeypatch.setattr(plans, "train_filter", lambda plan, *rest: seen.append(plan) or honest(plan, *rest))
    answer = bench("--root", project, "train", "filtered")
    assert answer.code == 0, answer.err
    assert [plan.kind for plan in seen] == ["filter"]
    assert (folder / "weights" / "tiny.safetensors").is_file()


@pytest.mark.parametrize(
    ("method", "tables", "words"),
    [
        ("hat", ADVERSARY + '\n[helper]\nweights = "../nobody/{dataset}.safetensors"\n', "is missing; restore it"),
        ("trades", "", "method 'trades' needs an [adversary] table"),
        ("tradse", "", "'trades'"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused_in_one_sentence(bench, project, tiny, method, tables, words):
    tiny(method, tables)
    assert words in bench("--root", project, "train", "own").sentence
    assert not weights_of(project).parent.exists()


def test_a_data_set_that_the_recipe_does_not_name_is_refused(bench, project, tiny):
    tiny()
    assert "is not for data set 'other'" in bench("--root", project, "train", "own", "-d", "other").sentence


def test_methods_and_architectures_are_listed_with_what_a_recipe_may_say_of_them(bench):
    said = bench("train", "--list")
    lines = said.out.splitlines()
    (trades,) = [line for line in lines if "│ trades " in line]
    assert "adversary" in trades
    assert "regulariser" in trades
    assert all(any(f"│ {name} " in line for line in lines) for name in (*METHODS, *ARCHITECTURES))
    (melanoma,) = [line for line in lines if "│ attnmel " in line]
    assert "width" in melanoma
