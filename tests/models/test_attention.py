"""Attention networks: what the maps of the gates are, and that the answer hangs on them."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from benchmark.defense.features import taken
from benchmark.models import build_network
from benchmark.models.attention import AttentionGate

GATED = ["ag-sononet16", "attnmel"]
MAPS = ["network.gates.0", "network.gates.1"]


def built(architecture: str, **options: object) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_network(architecture, 3, 1, **({"width": 0.25} | options)).eval()


def some_images(size: int = 28) -> torch.Tensor:
    return torch.rand(4, 1, size, size, generator=torch.Generator().manual_seed(0))


def some_gate() -> AttentionGate:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AttentionGate(2, 3, hidden=4, distributed=True)


def attention(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    with taken(network, MAPS) as found:
        network(images)
    return [found[name] for name in MAPS]


@pytest.mark.parametrize("architecture", GATED)
def test_each_image_has_maps_of_weights_between_0_and_1_at_two_scales(architecture):
    fine, coarse = attention(built(architecture), some_images())
    for weights in (fine, coarse):
        assert weights.min() >= 0
        assert weights.max() <= 1
        assert weights.flatten(1).std(dim=1).min() > 0
    assert fine.shape[2] == 2 * coarse.shape[2]
    assert fine.shape[:2] == coarse.shape[:2] == (4, 1)


def test_sononets_weights_sum_to_one_and_leave_the_least_position_out():
    for weights in attention(built("ag-sononet16"), some_images()):
        torch.testing.assert_close(weights.sum(dim=(1, 2, 3)), torch.ones(4))
        torch.testing.assert_close(weights.amin(dim=(1, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)


def test_attnmels_weights_are_each_positions_own_and_sum_to_no_fixed_number():
    sums = attention(built("attnmel"), some_images())[0].sum(dim=(1, 2, 3))
    assert sums.std() > 1e-3


@pytest.mark.parametrize("architecture", GATED)
def test_the_answer_hangs_on_where_the_gates_look(architecture):
    network, images = built(architecture), some_images()
    before = network(images)
    for gate in network.network.gates:
        original = gate.score.weight.detach().clone()
        gate.score.weight.data.neg_()
        assert (network(images) - before).abs().max() > 1e-3
        gate.score.weight.data.copy_(original)
    assert torch.equal(network(images), before)


@pytest.mark.parametrize("architecture", GATED)
def test_what_the_last_stack_sees_moves_the_attention(architecture):
    network, images = built(architecture), some_images()
    before = attention(network, images)
    network.network.gates[0].coarse.weight.data.zero_()
    after = attention(network, images)
    assert not torch.allclose(after[0], before[0])
    assert torch.equal(after[1], before[1])


def test_distributed_weights_follow_the_papers_formula():
    gate = some_gate()
    # Scores so far apart that the floor under them is lost in rounding.
    fine, coarse = (
        1000 * some_images()[:2, :, :12, :6].reshape(2, 2, 6, 6),
        some_images()[:2, :, :9, :3].reshape(2, 3, 3, 3),
    )
    context = nn.functional.interpolate(gate.coarse(coarse), size=(6, 6), mode="bilinear", align_corners=False)
    scores = gate.score((gate.fine(fine) + context).relu()).flatten(1)
    lifted = scores - scores.min(dim=1, keepdim=True).values
    expected = lifted / lifted.sum(dim=1, keepdim=True)
    torch.testing.assert_close(gate(fine, coarse).flatten(1), expected, atol=1e-5, rtol=1e-4)


def test_equal_scores_weigh_every_position_alike_and_give_finite_gradients():
    gate = some_gate()
    fine = torch.zeros(1, 2, 4, 4, requires_grad=True)
    weights = gate(fine, torch.ones(1, 3, 1, 1))
    torch.testing.assert_close(weights, torch.full((1, 1, 4, 4), 1 / 16), atol=0, rtol=0.02)
    weights.square().sum().backward()
    assert fine.grad.isfinite().all()


def vectors(name):
    """What the classifier is given, the last three stacks' outputs and the two attention maps."""
    network, given = built(name), []
    network.network.classifier.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    layers = ["network.stacks.2", "network.stacks.3", "network.stacks.4", *MAPS]
    with taken(network, layers) as found:
        network(some_images())
    return given[0], *(found[layer] for layer in layers)


def test_sononets_three_vectors_are_two_weighted_means_and_a_plain_one():
    given, third, fourth, last, first_map, second_map = vectors("ag-sononet16")
    expected = [(third * first_map).sum((2, 3)), (fourth * second_map).sum((2, 3)), last.mean((2, 3))]
    torch.testing.assert_close(given, torch.cat(expected, dim=1))


def test_attnmels_three_vectors_are_means_of_two_weighted_pools_and_the_last_one():
    given, third, fourth, last, first_map, second_map = vectors("attnmel")
    expected = [(third * first_map).mean((2, 3)), (fourth * second_map).mean((2, 3)), last.mean((2, 3))]
    torch.testing.assert_close(given, torch.cat(expected, dim=1))


def test_fine_tuned_aggregation_answers_from_one_prediction_per_scale():
    network = built("ag-sononet16", aggregation="fine-tuned").network
    assert [scale.out_features for scale in network.scales] == [3, 3, 3]
    assert network.classifier.in_features == 9


def test_sononet16_has_the_parameters_of_its_stacks_gates_and_classifier():
    maps = [1, 16, 16, 16, 32, 32, 32, 64, 64, 64, 128, 128, 128, 128]
    stacks = sum(9 * before * after + 3 * after for before, after in pairwise(maps))
    gates = (64 + 128) * 128 + 2 * 128 + (128 + 128) * 128 + 2 * 128
    classifier = (64 + 128 + 128) * 14 + 14
    with torch.device("meta"):
        network = build_network("ag-sononet16", 14, 1)
    assert sum(value.numel() for value in network.parameters()) == stacks + gates + classifier


def test_attnmel_has_the_parameters_of_vgg16_without_dense_layers_its_gates_and_classifier():
    vgg16_bn_features = 138_365_992 - 123_642_856
    gates = (256 + 512) * 256 + 256 + 1 + (512 + 512) * 256 + 256 + 1
    classifier = (256 + 512 + 512) * 2 + 2
    with torch.device("meta"):
        network = build_network("attnmel", 2, 3)
    assert sum(value.numel() for value in network.parameters()) == vgg16_bn_features + gates + classifier
