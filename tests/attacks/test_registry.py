"""Attacks are asked for by name, and a wrong name or value is answered by one sentence."""

import pytest

from benchmark.attacks import ATTACKS, build
from benchmark.attacks.pgd import Pgd
from benchmark.errors import BenchError


def test_every_attack_builds_with_its_defaults_and_says_what_it_needs_to_know():
    needs = {method: build(method, {}).knowledge for method in ATTACKS}
    assert needs["square"] == "scores"
    assert needs["pgd"] == "gradient"
    assert {method for method, need in needs.items() if need == "references"} == {"fea", "hfc"}
    assert set(needs.values()) == {"gradient", "features", "references", "scores", "labels", "training", "answers"}


def test_parameters_reach_the_attack():
    assert build("pgd", {"steps": 7, "loss": "margin"}) == Pgd(steps=7, loss="margin")


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("pdg", {}, "Did you mean 'pgd'"),
        ("pgd", {"step": 3}, "Did you mean 'steps'"),
        ("pgd", {"steps": 0}, "steps is 0"),
        ("pgd", {"steps": "20"}, "wrong type"),
        ("pgd", {"alpha_255": 0.0}, "alpha_255 is 0.0"),
        ("bim", {"restarts": 2}, "restarts without a random start"),
        ("pgd", {"loss": "margins"}, "Did you mean 'margin'"),
        ("cw-linf", {"steps": 0}, "steps is 0"),
        ("mim", {"decay": -1.0}, "decay is -1.0"),
        ("dim", {"probability": 1.5}, "dim: probability is 1.5"),
        ("dim", {"resize_rate": 1.0}, "resize_rate is 1.0"),
        ("tim", {"kernel": 4}, "kernel is 4"),
        ("sma", {"stability": -1.0}, "stability is -1.0"),
        ("sma", {"sigma": 0.0}, "sigma is 0.0"),
        ("apgd", {"loss": "ce"}, "Known: cross_entropy"),
        ("apgd", {"n_targets": 0}, "n_targets is 0"),
        ("apgd", {"iterations": -1}, "iterations is -1"),
        ("fab-t", {"n_targets": 0}, "n_targets is 0"),
        ("cw-l2", {"searches": 0}, "searches is 0"),
        ("cw-l2", {"kappa": -1.0}, "kappa is -1.0"),
        ("deepfool", {"overshoot": 0.0}, "overshoot is 0.0"),
        ("jsma", {"pixels_per_step": 0}, "pixels_per_step is 0"),
        ("square", {"queries": 0}, "queries is 0"),
        ("square", {"p_init": 1.5}, "p_init is 1.5"),
        ("square", {"knowledge": "gradient"}, "has no parameter 'knowledge'"),
    ],
)
def test_a_wrong_name_or_value_is_refused_with_the_mend(method, params, message):
    with pytest.raises(BenchError, match=message):
        build(method, params)
