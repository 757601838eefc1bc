"""Prefixes that wrappers of a network leave in the names of its tensors."""

import pytest
import torch
from torch import Tensor, nn

from benchmark.errors import BenchError
from benchmark.submission.prefixes import leading, matching_prefixes
from benchmark.submission.weights import load_into, read_weights, save_weights, state_bytes

OWN = ["conv.weight", "bn.running_mean", "bn.num_batches_tracked", "fc.weight"]


def with_prefix(prefix: str) -> list[str]:
    return [prefix + name for name in OWN]


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model.net.classifier."])
def test_any_prefix_that_all_names_carry_is_found(prefix: str) -> None:
    assert matching_prefixes(with_prefix(prefix), OWN) == [prefix]


def test_names_outside_the_prefix_do_not_count() -> None:
    assert matching_prefixes([*with_prefix("model."), "criterion.weight"], OWN) == ["model."]


def test_the_counter_of_batch_normalisation_may_be_missing() -> None:
    assert matching_prefixes(["m.conv.weight", "m.bn.running_mean", "m.fc.weight"], OWN) == ["m."]


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["module.conv.weight", "bn.running_mean", "module.fc.weight"],
        [*with_prefix("module."), "module.head.weight"],
        ["xconv.weight", "xbn.running_mean", "xfc.weight"],
    ],
)
def test_a_prefix_that_some_names_lack_or_that_leaves_others_over_is_none(names: list[str]) -> None:
    assert matching_prefixes(names, OWN) == []


def test_every_prefix_that_fits_is_told() -> None:
    assert matching_prefixes(with_prefix("teacher.") + with_prefix("model."), OWN) == ["model.", "teacher."]


def test_leading_prefixes_end_where_names_part() -> None:
    assert leading(["a.b.c.weight", "a.b.d.weight"]) == ["", "a.", "a.b."]
    assert leading(["weight", "bias"]) == [""]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


def renamed(state: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {new + name.removeprefix(old): value for name, value in state.items()}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_weights_saved_from_a_wrapper_are_refused_with_its_prefix_and_the_way_to_strip_it(prefix: str) -> None:
    with pytest.raises(BenchError, match=f"begin with '{prefix}'.*bench import-weights w.safetensors"):
        load_into(network(), renamed(network().state_dict(), "", prefix), "w.safetensors")


def test_a_prefix_that_the_weights_lack_is_named_too() -> None:
    with pytest.raises(BenchError, match=r"lack the 'module\.'.*bench import-weights"):
        load_into(nn.DataParallel(network()), network().state_dict(), "w.safetensors")


def test_weights_of_another_architecture_are_not_laid_to_a_prefix() -> None:
    with pytest.raises(BenchError, match=r"lacks '0\.bias' \(7 tensors missing, 1 unknown"):
        load_into(network(), {"module.0.weight": torch.zeros(2, 2)}, "w.safetensors")


def test_tied_and_transposed_tensors_are_written(tmp_path) -> None:
    tied = nn.ModuleDict({"a": nn.Linear(3, 2, bias=False), "b": nn.Linear(3, 2, bias=False)})
    tied["b"].weight = tied["a"].weight
    save_weights(tied, tmp_path / "w.safetensors")
    assert torch.equal(read_weights(tmp_path / "w.safetensors")["b.weight"], tied["a"].weight.half().float())
    values = torch.arange(6).view(2, 3)
    (tmp_path / "t.safetensors").write_bytes(state_bytes({"one": values.t(), "two": values, "three": values[0]}))
    read = read_weights(tmp_path / "t.safetensors")
    assert torch.equal(read["one"], values.t())
    assert torch.equal(read["three"], values[0])
