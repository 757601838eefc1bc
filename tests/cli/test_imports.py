"""``bench import-weights``: what it prints, and what it asks for or refuses."""

import pytest
import torch
from torch import nn

from benchmark.data.availability import find_card
from benchmark.root import Root
from benchmark.submission import find_entry
from benchmark.submission.weights import sha256_of

WEIGHTS = "submissions/mine/weights/pneumoniamnist.safetensors"


@pytest.fixture
def checkpoint(project, tmp_path):
    """Weights of the entry ``mine`` as Lightning saves them, with averaged ones beside."""
    root = Root(project)
    network = find_entry(root, "mine").network(find_card("pneumoniamnist", root))
    nn.init.normal_(next(network.parameters()))
    state = network.state_dict()
    content = {
        "state_dict": {f"model.{name}": value for name, value in state.items()} | {"loss.weight": torch.ones(2)},
        "model_ema": {name: torch.ones_like(value) for name, value in state.items()},
        "epoch": 3,
    }
    torch.save(content, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_a_checkpoint_is_imported_entered_and_loaded(bench, project, checkpoint):
    answer = bench("--root", project, "import-weights", checkpoint, "mine", "--dataset", "pneumoniamnist")
    assert answer.code == 0, answer.err
    assert str(project / WEIGHTS) in answer.out
    assert sha256_of(project / WEIGHTS) in answer.out
    assert "without 'state_dict.model.' before their names" in answer.out
    assert "left out: loss.weight, which the entry's network does not have" in answer.out
    assert "left out: epoch, no tensors" in answer.out
    assert "the entry loads them; next: run 'bench validate mine'" in answer.out
    assert answer.err == ""
    assert sha256_of(project / WEIGHTS) in (project / "submissions" / "mine" / "submission.toml").read_text()
    assert bench("--root", project, "validate", "mine", "-d", "pneumoniamnist").code == 0


def test_options_reach_the_import(bench, project, checkpoint):
    arguments = ("--root", project, "import-weights", checkpoint, "mine", "-d", "pneumoniamnist")
    assert bench(*arguments).code == 0
    first = sha256_of(project / WEIGHTS)
    assert "give --overwrite" in bench(*arguments, "--key", "model_ema").sentence
    answer = bench(*arguments, "--key", "model_ema", "--half", "--overwrite")
    assert answer.code == 0, answer.err
    assert "without 'model_ema.'" in answer.out
    kept = project / f"{WEIGHTS}.{first[:12]}.kept"
    assert f"kept the old file as {kept}" in answer.out
    assert kept.stat().st_size > (project / WEIGHTS).stat().st_size


def test_weights_that_were_imported_are_not_trained_over(bench, project, checkpoint):
    assert bench("--root", project, "import-weights", checkpoint, "mine", "-d", "pneumoniamnist").code == 0
    before = (project / WEIGHTS).read_bytes()
    assert str(project / WEIGHTS) in bench("--root", project, "train", "mine").sentence
    assert (project / WEIGHTS).read_bytes() == before


def test_with_one_data_set_none_need_be_given(bench, project, checkpoint):
    assert bench("--root", project, "new", "one", "-d", "pneumoniamnist").code == 0
    assert bench("--root", project, "import-weights", checkpoint, "one").code == 0


def test_an_entry_is_found_by_its_path_too(bench, project, checkpoint, tmp_path):
    assert bench("--root", project, "new", "far", "-d", "pneumoniamnist", "--dir", tmp_path / "entries").code == 0
    answer = bench("--root", project, "import-weights", checkpoint, tmp_path / "entries" / "far")
    assert answer.code == 0, answer.err


def test_an_entry_whose_code_does_not_run_yet_is_imported_into_with_a_warning(bench, project, checkpoint):
    (project / "submissions" / "mine" / "defense.py").write_text("import no_such_module\n")
    answer = bench(
        "--root", project, "import-weights", checkpoint, "mine", "-d", "pneumoniamnist", "--key", "model_ema"
    )
    assert answer.code == 0, answer.err
    assert "warning: the names were not compared with those of the entry's network" in answer.err
    assert "warning: the weights are imported, but the entry cannot be built with them" in answer.err
    assert "the entry loads them" not in answer.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mine",), "names several data sets; give --dataset with one of synthetic_cxr, pneumoniamnist."),
        (("mine", "-d", "pneumonia"), "does not name data set 'pneumonia'. Did you mean 'pneumoniamnist'?"),
        (("nobody",), "submission 'nobody' is neither a folder nor a name"),
        (("mine", "-d", "pneumoniamnist", "--key", "model_em"), "Did you mean 'model_ema'?"),
    ],
)
def test_what_cannot_be_meant_is_answered_in_one_sentence(bench, project, checkpoint, arguments, words):
    assert words in bench("--root", project, "import-weights", checkpoint, *arguments).sentence


def test_a_missing_checkpoint_is_answered_in_one_sentence(bench, project):
    arguments = ("import-weights", "gone.pth", "mine", "-d", "pneumoniamnist")
    assert "there is no file gone.pth" in bench("--root", project, *arguments).sentence


def test_an_entry_of_the_installed_package_is_left_alone(bench, installed, checkpoint):
    before = (installed / WEIGHTS).read_bytes()
    sentence = bench("import-weights", checkpoint, "mine", "-d", "pneumoniamnist").sentence
    assert "belongs to the installed package" in sentence
    assert (installed / WEIGHTS).read_bytes() == before
