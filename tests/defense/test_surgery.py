"""Feature enhancement: what each altered layer computes, what it is for, and that nothing else is touched."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.access import black_box, white_box
from benchmark.attacks.pgd import Pgd
from benchmark.attacks.square import Square
from benchmark.defense import Defense
from benchmark.defense.surgery import (
    BoundedReLU,
    DropMaxPool2d,
    DualBatchNorm2d,
    use_statistics,
    with_average_pooling,
    with_bounded_relu,
    with_drop_max,
    with_dual_batch_norm,
    with_single_batch_norm,
)
from benchmark.errors import BenchError
from benchmark.models import ARCHITECTURES, NarrowResNet18, SmallDenseNet, SmallVgg, build_network
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from ..attacks.problem import digits


def images_of(count=4, size=28):
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0))


def network(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NarrowResNet18(2, width=4, **options).eval()


def kinds(net):
    return {type(module) for module in net.modules()}


@pytest.mark.parametrize(
    "alter",
    [with_average_pooling, with_drop_max, lambda net: with_bounded_relu(net, 1.0), with_dual_batch_norm],
    ids=["average", "drop-max", "bounded", "dual"],
)
@pytest.mark.parametrize("architecture", [NarrowResNet18, SmallVgg])
def test_an_altered_network_is_a_copy_that_takes_the_same_images(architecture, alter):
    net = architecture(3).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    expected = net(images_of())
    altered = alter(net)
    assert altered(images_of()).shape == (4, 3)
    assert not altered.training
    assert torch.equal(net(images_of()), expected)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_average_pooling_stands_where_max_pooling_stood_and_counts_no_border():
    altered = with_average_pooling(network())
    assert nn.MaxPool2d not in kinds(altered)
    pool = altered.stem[3]
    torch.testing.assert_close(pool(torch.full((1, 2, 14, 14), 0.7)), torch.full((1, 2, 7, 7), 0.7))
    maps = torch.rand(1, 2, 14, 14)
    assert float(pool(maps)[0, 0, 1, 1]) == pytest.approx(float(maps[0, 0, 1:4, 1:4].mean()))


def test_one_attacked_place_moves_an_average_by_its_share_and_a_second_largest_not_at_all():
    maps = torch.zeros(1, 1, 9, 9)
    attacked = maps.clone()
    attacked[0, 0, 4, 4] = 9
    pool = nn.Sequential(nn.MaxPool2d(3))
    average, dropped = with_average_pooling(pool), with_drop_max(pool)
    assert float(pool(attacked).max()) == 9
    assert float(average(attacked).max()) == pytest.approx(1)
    assert float(dropped(attacked).max()) == 0


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 1, 0)])
def test_drop_max_forwards_the_second_largest_of_each_window(kernel, stride, padding):
    maps = torch.randn(2, 3, 10, 9, generator=torch.Generator().manual_seed(1))
    pooled = DropMaxPool2d(kernel, stride, padding)(maps)
    assert pooled.shape == F.max_pool2d(maps, kernel, stride, padding).shape
    padded = F.pad(maps, (padding,) * 4, value=-torch.inf)
    for row in range(pooled.shape[2]):
        for column in range(pooled.shape[3]):
            top, left = row * stride, column * stride
            window = padded[:, :, top : top + kernel, left : left + kernel].flatten(2)
            torch.testing.assert_close(pooled[:, :, row, column], window.sort(dim=2, descending=True).values[:, :, 1])


def test_drop_max_gives_its_gradient_to_the_second_largest_and_never_answers_with_padding():
    maps = torch.tensor([[[[1.0, 3.0], [2.0, 0.0]]]], requires_grad=True)
    DropMaxPool2d(2)(maps).sum().backward()
    assert maps.grad.flatten().tolist() == [0, 0, 1, 0]
    assert torch.isfinite(DropMaxPool2d(2, 2, 1)(torch.rand(1, 1, 4, 4))).all()


def test_bounded_relu_clips_from_both_sides_and_replaces_every_relu():
    assert BoundedReLU(2.0)(torch.tensor([-1.0, 0.5, 3.0])).tolist() == [0, 0.5, 2]
    altered = with_bounded_relu(network(), 0.4)
    assert nn.ReLU not in kinds(altered)
    seen = []
    hooks = [
        m.register_forward_hook(lambda *given: seen.append(given[2].detach().max()))
        for m in altered.modules()
        if isinstance(m, BoundedReLU)
    ]
    altered(images_of())
    assert len(seen) >= len(hooks) > 8
    assert float(max(seen)) == pytest.approx(0.4)


def test_a_bound_that_no_activation_reaches_changes_nothing():
    net = network()
    torch.testing.assert_close(with_bounded_relu(net, 1e6)(images_of()), net(images_of()))


def test_under_a_bound_a_large_perturbation_grows_less():
    net = network()
    far = images_of() + 5 * torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(2))

    def moved(net):
        features = nn.Sequential(net.normalise, net.stem, net.groups)
        with torch.no_grad():
            return float((features(far) - features(images_of())).square().mean().sqrt())

    assert moved(with_bounded_relu(net, 0.5)) < 0.5 * moved(net)


def test_both_halves_begin_as_the_single_normalisation_and_learn_apart():
    net = network()
    dual = with_dual_batch_norm(net)
    for which in ("main", "auxiliary"):
        use_statistics(dual, which)
        assert torch.equal(dual(images_of()), net(images_of()))
    dual.train()
    use_statistics(dual, "auxiliary")
    dual(images_of() * 0.1)
    use_statistics(dual, "main")
    dual.eval()
    assert torch.equal(dual(images_of()), net(images_of()))
    use_statistics(dual, "auxiliary")
    assert not torch.allclose(dual(images_of()), net(images_of()))


def test_only_the_half_in_use_receives_gradients():
    dual = with_dual_batch_norm(network())
    use_statistics(dual, "auxiliary")
    dual(images_of()).sum().backward()
    norms = [module for module in dual.modules() if isinstance(module, DualBatchNorm2d)]
    assert all(norm.main.weight.grad is None and norm.auxiliary.weight.grad is not None for norm in norms)


@pytest.mark.parametrize("which", ["main", "auxiliary"])
def test_one_half_alone_is_a_network_of_the_first_architecture(which):
    dual = with_dual_batch_norm(network()).train()
    use_statistics(dual, "auxiliary")
    dual(images_of() * 0.3)
    dual.eval()
    use_statistics(dual, which)
    single = with_single_batch_norm(dual, which)
    assert torch.equal(single(images_of()), dual(images_of()))
    fresh = NarrowResNet18(2, width=4)
    fresh.load_state_dict(single.state_dict())
    assert torch.equal(fresh.eval()(images_of()), single(images_of()))


def test_dual_statistics_keep_those_of_shifted_images_apart():
    """Mixed in one layer, clean images are normalised by what attacked ones look like."""
    mixed, dual = nn.Sequential(nn.BatchNorm2d(1)), with_dual_batch_norm(nn.Sequential(nn.BatchNorm2d(1)))
    clean, shifted = images_of(64), images_of(64) + 3
    for _ in range(50):
        for which, batch in (("main", clean), ("auxiliary", shifted)):
            mixed.train()(batch)
            use_statistics(dual, which)
            dual.train()(batch)
    use_statistics(dual, "main")
    assert abs(float(dual.eval()(clean).mean())) < 0.05
    assert abs(float(mixed.eval()(clean).mean())) > 0.5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BoundedReLU(0), "bound above 0"),
        (lambda: with_bounded_relu(network(), -1), "bound above 0"),
        (lambda: with_bounded_relu(nn.Sequential(nn.ELU()), 1), "no ReLU"),
        (lambda: with_average_pooling(network(pool=False)), "no max-pool"),
        (lambda: with_drop_max(SmallDenseNet(2)), "no max-pool"),
        (lambda: with_average_pooling(nn.Sequential(nn.MaxPool2d(2, dilation=2))), "dilation"),
        (lambda: with_drop_max(nn.Sequential(nn.MaxPool2d(2, ceil_mode=True))), "rounds"),
        (lambda: DropMaxPool2d(1), "at least two"),
        (lambda: with_average_pooling(nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 2))), "give shape="),
        (lambda: with_dual_batch_norm(nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm1d(1))), "another kind"),
        (lambda: with_dual_batch_norm(nn.Sequential(nn.ReLU())), "no batch normalisation"),
        (lambda: use_statistics(network(), "main"), "no dual batch normalisation"),
        (lambda: use_statistics(with_dual_batch_norm(network()), "both"), "'main' or 'auxiliary'"),
    ],
)
def test_what_cannot_be_altered_is_refused(make, words):
    with pytest.raises(BenchError, match=words):
        make()


class Calling(nn.Module):
    """A max-pool and a ReLU as modules, and one more layer as a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.MaxPool2d(2), nn.ReLU())
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self.layers(images))


@pytest.mark.parametrize(
    "function",
    [F.relu, torch.relu, Tensor.relu, partial(F.relu, inplace=True), F.relu6],
    ids=["F.relu", "torch.relu", "Tensor.relu", "in place", "F.relu6"],
)
def test_a_relu_that_is_called_as_a_function_is_refused_and_not_left_behind(function):
    with pytest.raises(BenchError, match="as a function"):
        with_bounded_relu(Calling(function), 1.0)
    with_average_pooling(Calling(function))


@pytest.mark.parametrize("alter", [with_average_pooling, with_drop_max])
@pytest.mark.parametrize("options", [{}, {"return_indices": True}], ids=["plain", "indices"])
def test_a_max_pool_that_is_called_as_a_function_is_refused_and_not_left_behind(alter, options):
    def pool(maps: Tensor) -> Tensor:
        pooled = F.max_pool2d(maps, 2, **options)
        return pooled[0] if options else pooled

    with pytest.raises(BenchError, match="as a function"):
        alter(Calling(pool))
    with_bounded_relu(Calling(pool), 1.0)


def test_the_image_that_a_network_is_tried_with_is_the_one_that_it_takes():
    fixed = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 2))
    assert with_average_pooling(fixed, shape=(2, 8, 8))(torch.rand(3, 2, 8, 8)).shape == (3, 2)


def test_the_trial_leaves_no_trace_in_the_copy():
    net = network().train()
    altered = with_bounded_relu(net, 1e6)
    assert altered.training
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in altered.state_dict().items())


WIDTHS = {"ag-sononet16": 0.125, "attnmel": 0.125, "chexnet": 0.125, "densenet121": 0.125, "inception-v3": 0.125}
WIDTHS |= {"mobilenetv2": 0.25, "resnet18": 0.125, "resnet50": 0.125, "vgg16": 0.125, "vgg19": 0.125}


def narrow(architecture: str, **options: object) -> nn.Module:
    more = {"width": WIDTHS[architecture]} if architecture in WIDTHS else {}
    more |= {"depth": 10, "width": 1} if architecture == "wide-resnet" else {}
    return build_network(architecture, 2, 1, **more, **options).eval()


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_relu_of_every_architecture_can_be_bounded(architecture):
    altered = with_bounded_relu(narrow(architecture), 0.5, shape=(1, 32, 32))
    assert not {nn.ReLU, nn.ReLU6} & kinds(altered)


@pytest.mark.parametrize("alter", [with_average_pooling, with_drop_max])
@pytest.mark.parametrize("architecture", ["ag-sononet16", "attnmel", "chexnet", "inception-v3", "resnet18", "vgg16"])
def test_every_max_pool_of_an_architecture_can_be_replaced(architecture, alter):
    options = {} if architecture == "inception-v3" else {"stem": "large"}
    altered = alter(narrow(architecture, **options), shape=(1, 64, 64))
    assert nn.MaxPool2d not in kinds(altered)


def test_a_relu6_keeps_its_own_bound_where_that_is_the_lower_one():
    values = torch.tensor([[[[-1.0, 3.0, 9.0]]]])
    relu = nn.Sequential(nn.ReLU6())
    assert with_bounded_relu(relu, 2.0)(values).flatten().tolist() == [0, 2, 2]
    assert with_bounded_relu(relu, 8.0)(values).flatten().tolist() == [0, 3, 6]


def test_dense_noise_of_one_size_moves_averages_by_less_than_half_of_what_it_moves_maxima():
    """Taghanaki et al. 2018: a max-pool hands the largest perturbation of its window on, an average evens them out."""
    draw = torch.Generator().manual_seed(3)
    smooth = torch.rand(8, 4, 1, 1, generator=draw).expand(-1, -1, 18, 18)
    noise = 8 / 255 * (2.0 * torch.randint(0, 2, smooth.shape, generator=draw) - 1)
    pool = nn.Sequential(nn.MaxPool2d(3))
    moved = [float((net(smooth + noise) - net(smooth)).abs().mean()) for net in (with_average_pooling(pool), pool)]
    assert moved[0] < 0.5 * moved[1]
    assert moved[1] == pytest.approx(8 / 255, rel=0.02)


ALTERED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "average": with_average_pooling,
    "drop-max": with_drop_max,
    "bounded": lambda net: with_bounded_relu(net, 1.0),
    "dual": with_dual_batch_norm,
}
"""Surgery before training."""

EPS_255 = 16.0


@pytest.fixture(scope="module")
def trained():
    """Networks that learnt three classes of digits after surgery, and 60 test images: ``trained(name)``."""
    images, labels = digits(3)
    made: dict[str, nn.Module] = {}

    def fit(alter: Callable[[nn.Module], nn.Module]) -> nn.Module:
        torch.manual_seed(7)
        first = [nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2)]
        second = [nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        net = alter(nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(24, 3))).train()
        dual = DualBatchNorm2d in kinds(net)
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(6):
            for batch in torch.randperm(1200).split(64):
                optimiser.zero_grad()
                F.cross_entropy(net(images[batch]), labels[batch]).backward()
                if dual:
                    noisy = images[batch] + EPS_255 / 255 * (2 * torch.rand(len(batch), 1, 8, 8) - 1)
                    use_statistics(net, "auxiliary")
                    F.cross_entropy(net(noisy.clamp(0, 1)), labels[batch]).backward()
                    use_statistics(net, "main")
                optimiser.step()
        return (with_single_batch_norm(net, "auxiliary") if dual else net).eval().requires_grad_(False)

    def _trained(name: str) -> tuple[nn.Module, Tensor, Tensor]:
        if name not in made:
            with torch.random.fork_rng():
                made[name] = fit(ALTERED[name])
        return made[name], images[1200:1260], labels[1200:1260]

    return _trained


def standing(net: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Images (N,) that are right when clean, under white-box PGD, and under a search that sees no gradient."""
    defense, task, draw = Defense(net, 3), Classification(3), Randomness(range(len(images)))
    climbed = Pgd(steps=20)(white_box(defense, draw), task.goal(labels), images, EPS_255, draw)
    searched = Square(queries=200)(black_box(defense, draw, 200), task.goal(labels), images, EPS_255, draw)
    clean, white, black = (net(seen).argmax(dim=1) == labels for seen in (images, climbed, searched))
    return clean, white, black


@pytest.mark.parametrize("name", ["average", "drop-max", "bounded", "dual"])
def test_the_gradient_of_an_altered_network_finds_what_a_search_without_it_finds(trained, name):
    """Adaptive attack: the gradient goes through the altered layers, so none of their robustness is its absence."""
    net, images, labels = trained(name)
    leaf = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(F.cross_entropy(net(leaf), labels, reduction="sum"), leaf)
    assert bool((gradient.flatten(1).abs().amax(dim=1) > 0).all())
    clean, white, black = standing(net, images, labels)
    assert float(clean.float().mean()) > 0.75
    assert float(white.float().mean()) < float(clean.float().mean()) - 0.2
    assert int((white & ~black).sum()) <= 3


def test_where_a_low_bound_hides_the_gradient_that_of_the_unbounded_twin_finds_the_way():
    """A planted defense: the mean of the image, times ten, over a bound that every clean image is far above."""
    twin = nn.Sequential(nn.Conv2d(1, 1, 8), nn.ReLU(), nn.Flatten(), nn.Linear(1, 2))
    values = {"0.weight": 10 / 64 * torch.ones(1, 1, 8, 8), "0.bias": torch.tensor([-4.0])}
    values |= {"3.weight": torch.tensor([[1.0], [0.0]]), "3.bias": torch.tensor([-0.05, 0.0])}
    twin.load_state_dict(values)
    bounded = with_bounded_relu(twin, 0.1, shape=(1, 8, 8))
    images, labels, draw = torch.full((6, 1, 8, 8), 0.5), torch.zeros(6, dtype=torch.int64), Randomness(range(6))
    right = []
    for attacked in (bounded, twin):
        view = white_box(Defense(attacked, 2), draw)
        found = Pgd(steps=20)(view, Classification(2).goal(labels), images, 32.0, draw)
        right.append(int((bounded(found).argmax(dim=1) == labels).sum()))
    assert right == [6, 0]


def test_no_input_moves_the_logits_by_more_than_the_bound_lets_it(trained):
    """Zantedeschi et al. 2017: features in [0, t] leave every logit within t times the sum of its weights."""
    far = 100 * torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(4))

    def within_reach(name: str) -> bool:
        net, images, _ = trained(name)
        return bool(((net(images + far) - net(images)).abs() <= net[-1].weight.abs().sum(dim=1) + 1e-4).all())

    assert within_reach("bounded")
    assert not within_reach("average")
