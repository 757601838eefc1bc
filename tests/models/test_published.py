"""Published architectures with a width: the libraries' own at width 1, small images, small files."""

import pytest
import torch
import torchvision
from safetensors.torch import load
from torch import nn

from benchmark.bridges import robustbench
from benchmark.defense.features import PENULTIMATE, with_features
from benchmark.errors import BenchError
from benchmark.models import ARCHITECTURES, build_network
from benchmark.submission.weights import MAX_BYTES, load_into, to_bytes

NARROW = {
    "ag-sononet16": {"width": 0.5},
    "attnmel": {"width": 0.125},
    "chexnet": {"width": 0.25},
    "inception-v3": {"width": 0.125},
    "mobilenetv2": {"width": 0.35},
    "resnet18": {"width": 0.25},
    "resnet50": {"width": 0.125},
    "vgg16": {"width": 0.125},
    "vgg19": {"width": 0.125},
    "wide-resnet": {"depth": 10, "width": 1},
}

LAYERS = {
    "ag-sononet16": ["network.stacks.4", "network.gates.0", "network.gates.1"],
    "attnmel": ["network.stacks.4", "network.gates.0", "network.gates.1"],
    "chexnet": ["network.features.denseblock1", "network.features.denseblock4"],
    "inception-v3": ["network.Mixed_5d", "network.Mixed_6e", "network.Mixed_7c"],
    "mobilenetv2": ["network.features.0", "network.features.18"],
    "resnet18": ["network.layer1", "network.layer4"],
    "resnet50": ["network.layer1", "network.layer4"],
    "vgg16": ["network.features.0", "network.features.43"],
    "vgg19": ["network.features.0", "network.features.52"],
    "wide-resnet": ["network.block1", "network.block3"],
}

TORCHVISION = {
    "chexnet": (torchvision.models.densenet121, {}),
    "inception-v3": (lambda: torchvision.models.Inception3(aux_logits=False, init_weights=False), {}),
    "mobilenetv2": (torchvision.models.mobilenet_v2, {}),
    "resnet18": (torchvision.models.resnet18, {}),
    "resnet50": (torchvision.models.resnet50, {}),
    "vgg16": (torchvision.models.vgg16_bn, {"head": "published"}),
    "vgg19": (torchvision.models.vgg19, {"head": "published", "batch_norm": False}),
}

PARAMETERS = {
    "chexnet": 7_978_856,
    "inception-v3": 27_161_264 - 3_326_696,
    "mobilenetv2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "vgg16": 138_365_992,
    "vgg19": 143_667_240,
}
"""As torchvision's documentation gives them; Inception-v3's without the auxiliary classifier."""


def narrow(architecture: str, classes: int = 4, channels: int = 1, **options: object) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_network(architecture, classes, channels, **(NARROW[architecture] | options)).eval()


def some_images(channels: int, size: int, number: int = 2) -> torch.Tensor:
    return torch.rand(number, channels, size, size, generator=torch.Generator().manual_seed(0))


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_every_registered_published_architecture_is_tested_here():
    small = {"narrow-resnet18", "small-densenet", "small-mobilenetv2", "small-vgg"}
    assert set(NARROW) == set(LAYERS) == set(ARCHITECTURES) - small - {"densenet121"}
    assert ARCHITECTURES["densenet121"] is ARCHITECTURES["chexnet"]


@pytest.mark.parametrize("architecture", sorted(NARROW))
@pytest.mark.parametrize(
    ("channels", "size", "stem"), [(1, 28, "small"), (3, 28, "medium"), (1, 64, "medium"), (3, 224, "large")]
)
def test_images_from_28_to_224_pixels_become_finite_logits(architecture, channels, size, stem):
    logits = narrow(architecture, 5, channels, stem=stem)(some_images(channels, size))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


@pytest.mark.parametrize("architecture", sorted(NARROW))
@pytest.mark.parametrize("stem", ["small", "medium", "large"])
def test_the_smallest_images_that_a_stem_allows_pass_and_smaller_ones_are_refused(architecture, stem):
    network = narrow(architecture, stem=stem)
    smallest = network.smallest
    assert network(some_images(1, smallest)).isfinite().all()
    assert smallest < 29 or stem == "large"
    if smallest > 1:
        with pytest.raises(BenchError, match=f"too small for this network, which needs {smallest}"):
            network(some_images(1, smallest - 1))


@pytest.mark.parametrize("architecture", ["chexnet", "inception-v3", "vgg16", "ag-sononet16"])
def test_an_image_one_pixel_below_the_limit_would_leave_a_map_without_a_point(architecture):
    for stem in ("small", "medium", "large"):
        network = narrow(architecture, stem=stem)
        with pytest.raises(RuntimeError, match="size"):
            network.network(some_images(1, network.smallest - 1))


@pytest.mark.parametrize("architecture", sorted(TORCHVISION))
def test_at_width_1_names_shapes_and_number_of_parameters_are_torchvisions(architecture):
    build, options = TORCHVISION[architecture]
    with torch.device("meta"):
        ours = build_network(architecture, 1000, 3, stem="large", **options).network
        theirs = build()
    assert count(ours) == count(theirs) == PARAMETERS[architecture]
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }


@pytest.mark.parametrize("architecture", ["chexnet", "inception-v3", "mobilenetv2", "resnet18", "resnet50"])
def test_with_torchvisions_weights_the_large_stem_computes_what_torchvisions_network_computes(architecture):
    theirs = TORCHVISION[architecture][0]().eval()
    ours = build_network(architecture, 1000, 3, stem="large", mean=[0.5] * 3, std=[0.5] * 3).eval()
    ours.network.load_state_dict(theirs.state_dict())
    images = some_images(3, 80, 1)
    torch.testing.assert_close(ours(images), theirs((images - 0.5) / 0.5))


def test_the_default_wide_network_has_the_parameters_of_the_published_wrn_28_10():
    with torch.device("meta"):
        network = build_network("wide-resnet", 10, 3)
    assert count(network) == 36_479_194


def test_with_robustbenchs_weights_a_wide_network_computes_what_robustbenchs_does_on_32_pixels():
    theirs = robustbench.architecture("wide_resnet.WideResNet", depth=10, widen_factor=2, num_classes=7).eval()
    ours = build_network("wide-resnet", 7, 3, depth=10, width=2, mean=[0.0] * 3, std=[1.0] * 3).eval()
    ours.network.load_state_dict(theirs.state_dict())
    images = some_images(3, 32)
    torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize("architecture", sorted(NARROW))
def test_the_mean_and_spread_of_the_inputs_are_taken_out_inside(architecture):
    images = some_images(1, 28)
    network = narrow(architecture, mean=[0.4], std=[0.2])
    bare = narrow(architecture, mean=[0.0], std=[1.0])
    torch.testing.assert_close(network(images), bare((images - 0.4) / 0.2), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("architecture", sorted(NARROW))
def test_in_eval_mode_an_image_has_one_answer_whatever_stands_beside_it(architecture):
    network = narrow(architecture)
    images = some_images(1, 28, 3)
    with torch.no_grad():
        assert torch.equal(network(images), network(images))
        torch.testing.assert_close(network(images)[1:2], network(images[1:2]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", sorted(NARROW))
def test_gradients_reach_the_image_and_every_parameter(architecture):
    network = narrow(architecture)
    images = some_images(1, 28).requires_grad_()
    nn.functional.cross_entropy(network(images), torch.tensor([0, 1])).backward()
    assert images.grad.abs().amax(dim=(1, 2, 3)).min() > 0
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("architecture", sorted(NARROW))
def test_a_narrow_network_travels_in_half_precision_within_three_megabytes(architecture):
    network = narrow(architecture, channels=3)
    content = to_bytes(network)
    assert len(content) < MAX_BYTES
    state = {name: value.float() if value.is_floating_point() else value for name, value in load(content).items()}
    again = load_into(narrow(architecture, channels=3, mean=[0.0] * 3), state, "weights")
    assert to_bytes(again) == content
    images = some_images(3, 28)
    torch.testing.assert_close(again(images), network(images), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("architecture", sorted(NARROW))
def test_the_documented_feature_layers_can_be_taken(architecture):
    network = narrow(architecture)
    found, _ = with_features(network, some_images(1, 28), [*LAYERS[architecture], PENULTIMATE])
    assert list(found) == [*LAYERS[architecture], PENULTIMATE]
    assert all(value.shape[0] == 2 and value.isfinite().all() for value in found.values())


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50", "vgg16", "ag-sononet16", "attnmel", "chexnet"])
def test_half_the_width_leaves_about_a_quarter_of_the_parameters(architecture):
    with torch.device("meta"):
        wide, half = (build_network(architecture, 4, 3, width=width) for width in (1, 0.5))
    assert count(half) / count(wide) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("architecture", ["vgg16", "ag-sononet16", "attnmel"])
def test_smaller_stems_leave_out_the_first_pools_and_nothing_else(architecture):
    def kinds(stem: str) -> list[type]:
        return [type(layer) for layer in narrow(architecture, stem=stem).modules() if not list(layer.children())]

    def pools(stem: str) -> list[type]:
        return [kind for kind in kinds(stem) if kind in (nn.MaxPool2d, nn.Identity)]

    number = len(pools("large"))
    assert pools("medium") == [nn.Identity] + [nn.MaxPool2d] * (number - 1)
    assert pools("small") == [nn.Identity] * 2 + [nn.MaxPool2d] * (number - 2)
    assert len(kinds("small")) == len(kinds("large"))


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("resnet18", {"width": 0.001}, "leaves no maps of 64"),
        ("resnet18", {"stem": "tiny"}, "Use 'small', 'medium' or 'large'"),
        ("resnet18", {"depth": 50}, "has no option 'depth'"),
        ("vgg16", {"head": "dense"}, "Use 'linear' or 'published'"),
        ("vgg19", {"witdh": 0.5}, "Did you mean 'width'"),
        ("mobilenetv2", {"width": 0}, "is not above 0"),
        ("chexnet", {"width": -1}, "leaves no maps of 32"),
        ("inception-v3", {"width": 0.2}, "no whole number of sixteenths"),
        ("wide-resnet", {"width": 0.5}, "Use a whole number"),
        ("wide-resnet", {"depth": 18}, "Use 10, 16, 22, 28 or 34"),
        ("ag-sononet16", {"aggregation": "mean"}, "Use 'concatenated' or 'fine-tuned'"),
        ("attnmel", {"width": 0}, "leaves no maps"),
    ],
)
def test_options_that_make_no_network_are_refused_in_one_sentence(architecture, options, message):
    with pytest.raises(BenchError, match=message):
        build_network(architecture, 4, 1, **options)
