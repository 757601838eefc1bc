"""Architectures that recipes name: shapes, normalisation inside, families as published, and what they refuse."""

import pytest
import torch
from torch import nn

from benchmark.errors import BenchError
from benchmark.models import build_network
from benchmark.models.unet import PerturbationUNet, initial_state
from benchmark.randomness import Randomness
from benchmark.submission.weights import MAX_BYTES, to_bytes

FAMILIES = ["small-vgg", "small-densenet"]
SMALL = ["narrow-resnet18", "small-mobilenetv2", *FAMILIES]


def built(architecture: str, num_classes: int = 4, channels: int = 1, **options) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_network(architecture, num_classes, channels, **options).eval()


@pytest.mark.parametrize("architecture", SMALL)
@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 28, 2), (1, 32, 4), (3, 28, 7), (3, 64, 3)])
def test_images_of_every_data_set_become_logits(architecture, channels, size, classes):
    images = torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    assert built(architecture, classes, channels)(images).shape == (2, classes)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_inputs_are_normalised_inside(architecture):
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    network = built(architecture, mean=[0.4], std=[0.2])
    bare = built(architecture, mean=[0.0], std=[1.0])
    torch.testing.assert_close(network(images), bare((images - 0.4) / 0.2), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_the_default_networks_fit_a_shipped_weight_file(architecture):
    assert len(to_bytes(built(architecture))) < MAX_BYTES


@pytest.mark.parametrize(("depth", "convolutions"), [(11, 8), (13, 10)])
def test_a_vgg_has_its_published_convolutions_and_the_pools_asked_for(depth, convolutions):
    network = built("small-vgg", depth=depth, width=8, pools=2)
    kinds = [type(module) for module in network.features]
    assert kinds.count(nn.Conv2d) == convolutions
    assert kinds.count(nn.MaxPool2d) == 2
    assert network.features(torch.zeros(1, 1, 28, 28)).shape == (1, 64, 7, 7)


@pytest.mark.parametrize(("stride", "last"), [(1, 4), (2, 2)])
def test_a_densenet_has_the_layers_asked_for_and_no_early_pool(stride, last):
    network = built("small-densenet", blocks=[1, 2, 3, 4], growth=4, stride=stride)
    layers = [len(list(network.network.features.get_submodule(f"denseblock{i}").children())) for i in (1, 2, 3, 4)]
    assert layers == [1, 2, 3, 4]
    assert network.network.features(torch.zeros(1, 1, 32, 32)).shape[2:] == (last, last)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("small-vgg", {"depth": 16}, "Use 11 or 13"),
        ("small-vgg", {"pools": 0}, "Use 1 to 5"),
        ("small-densenet", {"stride": 4}, "Use 1 or 2"),
        ("small-densenet", {"blocks": [2, 2]}, "Give four numbers"),
    ],
)
def test_options_that_make_no_network_are_refused(architecture, options, message):
    with pytest.raises(BenchError, match=message):
        built(architecture, **options)


@pytest.mark.parametrize(
    ("size", "kernels"),
    [
        ((28, 28), [(4, 4), (4, 4), (3, 3)]),
        ((32, 32), [(4, 4)] * 3),
        ((64, 64), [(4, 4)] * 4),
        ((224, 224), [(4, 4)] * 5 + [(3, 3)]),
        ((4, 4), [(4, 4)]),
        ((14, 9), [(4, 3), (3, 3)]),
    ],
)
def test_the_generator_has_as_many_levels_as_its_images_allow(size, kernels):
    with torch.device("meta"):
        network = PerturbationUNet(1, size, 4)
    assert [layer.kernel_size for layer in network.down] == kernels
    assert [layer.kernel_size for layer in network.up] == kernels[::-1]


def test_the_generator_at_full_width_has_the_published_channels_and_normalisations():
    with torch.device("meta"):
        network = PerturbationUNet(3, (224, 224), 64)
    assert [layer.out_channels for layer in network.down] == [64, 128, 256, 512, 512, 512]
    assert [layer.out_channels for layer in network.up] == [512, 512, 256, 128, 64, 3]
    assert [isinstance(norm, nn.BatchNorm2d) for norm in network.down_norms] == [False, True, True, True, True, False]
    assert [isinstance(norm, nn.BatchNorm2d) for norm in network.up_norms] == [True] * 5 + [False]


@pytest.mark.parametrize("size", [(28, 28), (64, 64), (5, 5), (14, 9), (4, 6), (7, 30)])
def test_the_generator_returns_values_of_its_images_shape_between_minus_one_and_one(size):
    network = PerturbationUNet(3, size, 4)
    network.load_state_dict(initial_state(network, Randomness([0])))
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    output = network.eval()(images)
    assert output.shape == images.shape
    assert output.abs().max() < 1
    assert output.std() > 0


def test_dropout_draws_from_the_given_stream_and_from_nothing_else():
    network = PerturbationUNet(1, (28, 28), 4)
    network.load_state_dict(initial_state(network, Randomness([0])))
    network.eval()
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(images, Randomness([5])), network(images, Randomness([5])))
    assert not torch.equal(network(images, Randomness([5])), network(images, Randomness([6])))
    assert not torch.equal(network(images, Randomness([5])), network(images))


@pytest.mark.parametrize(("width", "spread"), [(64, 0.02), (16, 0.04)])
def test_initial_weights_have_the_published_spread_and_a_larger_one_in_narrow_networks(width, spread):
    with torch.device("meta"):
        network = PerturbationUNet(1, (28, 28), width)
    state = initial_state(network, Randomness([0]))
    assert state["down.2.weight"].std().item() == pytest.approx(spread, rel=0.05)
    assert state["down.2.bias"].abs().max() == 0
    assert (state["down_norms.1.weight"] == 1).all()
