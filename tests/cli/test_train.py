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


MANIFEST = """name = "own"   # a comment that must stay
title = "Own"
authors = ["A test"]
task = "classification"
datasets = ["tiny"]
architecture = "any"
defense_family = "none"
revision = 1
"""
DEFENSE = """from benchmark.defense import Defense
from benchmark.models import NarrowResNet18


def build(context):
    network = NarrowResNet18(context.num_classes, context.channels, width=2, pool=False)
    return Defense(context.load_weights(network), context.num_classes)
"""


@pytest.fixture
def entry(tiny):
    """The entry ``own`` with manifest and code; returns its folder."""
    folder = tiny().parent
    (folder / "submission.toml").write_text(MANIFEST)
    (folder / "defense.py").write_text(DEFENSE)
    (folder / "README.md").write_text("made for a test\n")
    return folder


@pytest.fixture
def redirected(bench, project, entry):
    """The manifest of ``own``, which names another file than the one that its recipe made; returns its path."""
    manifest = entry / "submission.toml"
    assert bench("--root", project, "train", "own").code == 0
    put(entry / "weights" / "final.safetensors")
    sha256 = hashlib.sha256(b"an imported checkpoint").hexdigest()
    manifest.write_text(MANIFEST + f'[weights.tiny]\nfile = "weights/final.safetensors"\nsha256 = "{sha256}"\n')
    return manifest


def put(path, content=b"an imported checkpoint"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_weights_that_training_did_not_make_are_refused_before_the_first_epoch(bench, project, entry):
    path = put(weights_of(project))
    answer = bench("--root", project, "train", "own")
    assert str(path) in answer.sentence
    assert "--overwrite" in answer.sentence
    assert "epoch" not in answer.out
    assert path.read_bytes() == b"an imported checkpoint"
    assert (entry / "submission.toml").read_text() == MANIFEST


def test_with_overwrite_the_old_weights_are_kept_and_the_entry_passes(bench, project, entry):
    old = put(weights_of(project))
    sha256 = hashlib.sha256(old.read_bytes()).hexdigest()
    answer = bench("--root", project, "train", "own", "--overwrite")
    assert answer.code == 0, answer.err
    kept = old.with_name(f"tiny.safetensors.{sha256[:12]}.kept")
    assert f"kept the old file as {kept}" in answer.out
    assert kept.read_bytes() == b"an imported checkpoint"
    report = json.loads(bench("--root", project, "validate", "own", "--json").out)
    assert report["passed"]
    assert [check["status"] for check in report["checks"] if check["name"] == "folder"] == ["ok"]


def test_a_manifest_that_names_a_file_made_elsewhere_is_not_redirected_unasked(bench, project, redirected):
    before = redirected.read_text()
    answer = bench("--root", project, "train", "own")
    assert "names weights/final.safetensors for 'tiny', which this recipe did not make" in answer.sentence
    assert "--overwrite" in answer.sentence
    assert "epoch" not in answer.out
    assert redirected.read_text() == before


def test_with_overwrite_the_manifest_names_what_was_trained(bench, project, redirected):
    answer = bench("--root", project, "train", "own", "--overwrite")
    assert answer.code == 0, answer.err
    assert 'file = "weights/tiny.safetensors"' in redirected.read_text()
    assert (redirected.parent / "weights" / "final.safetensors").read_bytes() == b"an imported checkpoint"


def test_a_manifest_may_be_redirected_from_another_file_of_this_recipe(bench, project, entry):
    manifest = entry / "submission.toml"
    assert bench("--root", project, "train", "own").code == 0
    for path in (weights_of(project), Paths(weights_of(project)).record):
        path.rename(path.with_name(path.name.replace("tiny", "earlier")))
    manifest.write_text(manifest.read_text().replace("weights/tiny", "weights/earlier"))
    answer = bench("--root", project, "train", "own")
    assert answer.code == 0, answer.err
    assert 'file = "weights/tiny.safetensors"' in manifest.read_text()


def test_weights_from_other_training_data_are_kept_and_told_of(bench, project, entry):
    assert bench("--root", project, "train", "own").code == 0
    record = Paths(weights_of(project)).record
    put(weights_of(project), b"from the data as it was")
    changed = {"sha256": hashlib.sha256(b"from the data as it was").hexdigest(), "training_data": "0" * 64}
    record.write_text(json.dumps(json.loads(record.read_text()) | changed))
    answer = bench("--root", project, "train", "own")
    assert answer.code == 0, answer.err
    assert "the old weights were made from other training data, so they are kept" in answer.out
    assert [path.read_bytes() for path in entry.glob("weights/*.safetensors.*.kept")] == [b"from the data as it was"]


def test_training_again_needs_no_flag(bench, project, entry):
    assert bench("--root", project, "train", "own").code == 0
    assert bench("--root", project, "train", "own").code == 0
    assert "a comment that must stay" in (entry / "submission.toml").read_text()


def test_a_file_in_the_output_folder_is_held_to_the_same(bench, project, entry, tmp_path):
    path = put(tmp_path / "out" / "weights" / "tiny.safetensors")
    assert str(path) in bench("--root", project, "train", "own", "--output", tmp_path / "out").sentence
    assert path.read_bytes() == b"an imported checkpoint"
    assert bench("--root", project, "train", "own", "--output", tmp_path / "out", "--overwrite").code == 0
    assert b"an imported checkpoint" in [kept.read_bytes() for kept in path.parent.glob("*.kept")]


def test_the_weights_of_a_surrogate_are_held_to_the_same(bench, project, tiny):
    recipe = tiny()
    folder = project / "datasets" / "tiny" / "surrogates"
    folder.mkdir()
    (folder / "small.toml").write_text('weights = "small.safetensors"\n' + recipe.read_text())
    path = put(folder / "small.safetensors")
    assert str(path) in bench("--root", project, "train", "surrogates", "-d", "tiny").sentence
    assert path.read_bytes() == b"an imported checkpoint"
    assert bench("--root", project, "train", "surrogates", "-d", "tiny", "--overwrite").code == 0
    assert [kept.read_bytes() for kept in folder.glob("*.kept")] == [b"an imported checkpoint"]


def test_a_file_that_comes_during_the_training_stays_and_is_not_entered(bench, project, entry, monkeypatch):
    fit = train_package.__globals__["Fit"]
    honest = fit.state
    monkeypatch.setattr(fit, "state", lambda self: put(weights_of(project)) and honest(self))
    answer = bench("--root", project, "train", "own")
    (trained,) = [path for path in weights_of(project).parent.glob("*.safetensors") if path != weights_of(project)]
    assert f"{weights_of(project)} became another file during the training" in answer.sentence
    assert str(trained) in answer.sentence
    assert weights_of(project).read_bytes() == b"an imported checkpoint"
    assert (entry / "submission.toml").read_text() == MANIFEST


def test_two_data_sets_for_one_weight_file_are_refused_before_either_is_trained(bench, project, tiny):
    path = tiny()
    text = path.read_text().replace('["tiny"]', '["synthetic_cxr", "tiny"]')
    path.write_text('weights = "w.safetensors"\n' + text)
    sentence = bench("--root", project, "train", "own").sentence
    assert (
        f"{path} on 'synthetic_cxr' and {path} on 'tiny' would both write {path.parent / 'w.safetensors'}" in sentence
    )
    assert not (path.parent / "w.safetensors").exists()


def test_braces_that_mean_nothing_in_the_weights_name_are_refused(bench, project, tiny):
    path = tiny()
    path.write_text('weights = "{name}.safetensors"\n' + path.read_text())
    assert "may hold no braces but {dataset}" in bench("--root", project, "train", "own").sentence


def test_a_manifest_that_cannot_take_the_weights_is_refused_before_the_first_epoch(bench, project, entry):
    (entry / "submission.toml").write_text(MANIFEST.replace('["tiny"]', '["synthetic_cxr"]'))
    answer = bench("--root", project, "train", "own")
    assert "'tiny' is not in datasets" in answer.sentence
    assert not weights_of(project).parent.exists()


def test_a_fresh_scaffold_is_trained_without_a_flag(bench, project, tiny):
    tiny()
    assert bench("--root", project, "new", "fresh", "-d", "tiny").code == 0
    folder = project / "submissions" / "fresh"
    untrained = (folder / "weights" / "tiny.safetensors").read_bytes()
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 15", "epochs = 1\nbatch_size = 16"))
    answer = bench("--root", project, "train", "fresh")
    assert answer.code == 0, answer.err
    assert (folder / "weights" / "tiny.safetensors").read_bytes() != untrained
    assert not list(folder.rglob("*.kept"))
    assert "fresh: passed" in bench("--root", project, "validate", "fresh").out


def test_a_recipe_in_the_current_folder_enters_its_weights(bench, project, entry, monkeypatch):
    monkeypatch.chdir(entry)
    answer = bench("--root", project, "train", "recipe.toml")
    assert answer.code == 0, answer.err
    assert "[weights.tiny]" in (entry / "submission.toml").read_text()


def test_an_entry_of_the_installed_package_is_not_trained_in_place(bench, installed, entry):
    before = sorted(entry.rglob("*"))
    sentence = bench("train", "own").sentence
    assert "belongs to the installed package" in sentence
    assert "--output FOLDER" in sentence
    assert sorted(entry.rglob("*")) == before
    assert (entry / "submission.toml").read_text() == MANIFEST


def test_an_entry_of_the_installed_package_is_trained_into_another_folder(bench, installed, entry, tmp_path):
    answer = bench("train", "own", "--output", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert (tmp_path / "out" / "weights" / "tiny.safetensors").is_file()
    assert not weights_of(installed).exists()


def test_an_entry_in_the_current_folder_is_trained_by_its_name(bench, installed, entry, tmp_path):
    here = tmp_path / "here" / "own"
    entry.rename(here)
    answer = bench("train", "own")
    assert answer.code == 0, answer.err
    assert (here / "weights" / "tiny.safetensors").is_file()
    assert "[weights.tiny]" in (here / "submission.toml").read_text()
