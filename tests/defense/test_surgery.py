"""Feature enhancement: what each altered layer computes, what it is for, and that nothing else is touched."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

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
from benchmark.models import NarrowResNet18, SmallDenseNet, SmallVgg


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
        (lambda: with_dual_batch_norm(nn.Sequential(nn.ReLU())), "no batch normalisation"),
        (lambda: use_statistics(network(), "main"), "no dual batch normalisation"),
        (lambda: use_statistics(with_dual_batch_norm(network()), "both"), "'main' or 'auxiliary'"),
    ],
)
def test_what_cannot_be_altered_is_refused(make, words):
    with pytest.raises(BenchError, match=words):
        make()
