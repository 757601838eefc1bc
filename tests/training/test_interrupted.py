"""A training that was killed goes on where it stopped and ends with the same bytes."""

import pytest
import torch

from benchmark.errors import BenchError
from benchmark.submission.weights import save_weights
from benchmark.training import train
from benchmark.training.part import Part
from benchmark.training.recipe import untrained_network

from .conftest import make_card, make_recipe

ADVERSARY = {"eps_255": 8, "alpha_255": 4, "steps": 2}

PLANS = {
    "natural": {},
    "pgd_at": {"adversary": ADVERSARY | {"warmup": 1}},
    "trades with every extra": {
        "method": "trades",
        "adversary": ADVERSARY,
        "awp": {"gamma": 0.01, "warmup": 1},
        "ema": {"decay": 0.9},
        "augment": {"rotate": 10, "brightness": 0.1, "contrast": 0.1, "cutout": 2},
        "flip": True,
    },
    "trades with dual batch normalisation": {
        "method": "trades",
        "adversary": ADVERSARY,
        "awp": {"gamma": 0.01},
        "ema": {"decay": 0.9},
        "surgery": {"dual_batch_norm": "auxiliary"},
    },
    "mpadvt": {"adversary": ADVERSARY},
    "ima": {"adversary": ADVERSARY},
    "hat": {"adversary": ADVERSARY, "helper": {"weights": "other.safetensors"}},
    "ssat": {"adversary": ADVERSARY, "semi_supervised": {"labelled": 0.5, "epochs": 2}},
    "defensive_distillation": {"distillation": {"temperature": 5}},
}


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def attempt(splits, tmp_path):
    """Train to a named file, killed right after the ``kill``-th epoch (of all stages) where that is given."""
    save_weights(untrained_network(make_recipe(), make_card()), tmp_path / "other.safetensors")

    def _attempt(name, kill=None, **changes):
        epochs = iter(range(1, 100))

        def on_epoch(epoch):
            if not epoch.resumed and next(epochs) == kill:
                raise Killed

        return train(make_recipe(**changes), make_card(), splits, tmp_path / name, on_epoch, beside=tmp_path)

    return _attempt


@pytest.mark.parametrize("plan", PLANS)
def test_an_interrupted_run_ends_with_the_same_bytes(attempt, tmp_path, plan):
    changes = {"method": plan, "epochs": 3} | PLANS[plan]
    whole = attempt("whole.safetensors", **changes)
    for kill in (1, 2):
        with pytest.raises(Killed):
            attempt("cut.safetensors", kill=1, **changes)
        assert (tmp_path / "cut.safetensors.part").is_file()
        assert not (tmp_path / "cut.safetensors").is_file(), kill
    cut = attempt("cut.safetensors", **changes)
    assert cut.sha256 == whole.sha256
    assert cut.log == whole.log
    assert cut.best == whole.best
    assert [epoch.resumed for epoch in cut.log][:3] == [True, True, False]


def test_an_interrupted_run_leaves_nothing_behind_once_it_has_ended(attempt, tmp_path):
    with pytest.raises(Killed):
        attempt("cut.safetensors", kill=1)
    attempt("cut.safetensors")
    assert sorted(path.name for path in tmp_path.glob("cut*")) == [
        "cut.curve.svg",
        "cut.log.csv",
        "cut.safetensors",
        "cut.training.json",
    ]


@pytest.mark.parametrize("change", [{"seed": 2}, {"learning_rate": 0.01}, {"options": {"width": 3, "pool": False}}])
def test_the_state_of_another_recipe_is_not_gone_on_with(attempt, change):
    with pytest.raises(Killed):
        attempt("cut.safetensors", kill=1)
    other = attempt("cut.safetensors", **change)
    assert not any(epoch.resumed for epoch in other.log)
    assert other.sha256 == attempt("fresh.safetensors", **change).sha256


def test_the_state_of_another_helper_is_not_gone_on_with(attempt, tmp_path):
    changes = {"method": "hat"} | PLANS["hat"]
    with pytest.raises(Killed):
        attempt("cut.safetensors", kill=1, **changes)
    torch.manual_seed(5)
    save_weights(untrained_network(make_recipe(), make_card()), tmp_path / "other.safetensors")
    assert not any(epoch.resumed for epoch in attempt("cut.safetensors", **changes).log)


@pytest.mark.parametrize("content", [b"", b"not a state", b"PK\x03\x04 half of one"])
def test_a_damaged_state_is_as_good_as_none(tmp_path, content):
    part = Part(tmp_path / "x.part", "key")
    part.path.write_bytes(content)
    assert part.read() is None


def test_a_state_is_read_by_its_own_run_alone(tmp_path):
    Part(tmp_path / "x.part", "one").write({"number": 3, "values": torch.ones(2)})
    mine = Part(tmp_path / "x.part", "one").read()
    assert mine is not None
    assert mine["number"] == 3
    assert torch.equal(mine["values"], torch.ones(2))
    assert Part(tmp_path / "x.part", "two").read() is None


def test_a_state_that_would_run_code_is_not_read(tmp_path):
    torch.save({"key": "one", "trap": Killed}, tmp_path / "x.part")
    assert Part(tmp_path / "x.part", "one").read() is None


def test_training_that_diverges_later_takes_its_state_with_it(attempt, tmp_path):
    with pytest.raises(Killed):
        attempt("cut.safetensors", kill=1, learning_rate=0.05)
    with pytest.raises(BenchError, match="diverged"):
        attempt("cut.safetensors", learning_rate=1e30)
    assert list(tmp_path.glob("cut*")) == []


def test_batches_are_told_as_shares_of_an_epoch_in_every_stage(splits, tmp_path):
    shares = []
    recipe = make_recipe(method="defensive_distillation", epochs=2, distillation={"temperature": 5})
    train(recipe, make_card(), splits, tmp_path / "told.safetensors", beside=tmp_path, on_batch=shares.append)
    assert sum(shares) == pytest.approx(recipe.total_epochs)
    assert max(shares) == 1 / 4
