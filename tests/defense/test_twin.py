"""The fast twin that attacks follow: the same function, or none."""

import pytest
import torch
from torch import nn

from benchmark.defense import Defense
from benchmark.defense.runtime import Compiled
from benchmark.defense.stages import Jpeg
from benchmark.defense.surgery import with_drop_max
from benchmark.defense.twin import AGREEMENT, twin_of
from benchmark.models import ARCHITECTURES, NarrowResNet18
from benchmark.randomness import Randomness

SHAPE = (1, 28, 28)
CPU = torch.device("cpu")


def with_statistics(network: nn.Module) -> nn.Module:
    """The network with running statistics that are not those of a fresh one."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
    return network.eval()


def gradient(defense: Defense, images: torch.Tensor) -> torch.Tensor:
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad(defense.logits(leaf)[:, 0].sum(), leaf)[0]


@pytest.mark.parametrize("stages", [[], [Jpeg(80)]], ids=["bare", "behind a stage"])
def test_a_twin_answers_as_the_original_and_has_its_gradient(stages):
    defense = Defense(with_statistics(NarrowResNet18(2, 1, width=8)), 2, stages)
    twin = twin_of(defense, SHAPE, CPU)
    images = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(2))
    assert twin is not None
    assert float((twin.logits(images) - defense.logits(images)).abs().max()) <= AGREEMENT
    told, again = gradient(defense, images), gradient(twin, images)
    assert float((told - again).abs().max()) <= 1e-3 * float(told.abs().max())


def test_a_twin_has_no_batch_normalisation_and_the_original_keeps_its_own():
    defense = Defense(with_statistics(NarrowResNet18(2, 1, width=8)), 2)
    twin = twin_of(defense, SHAPE, CPU)
    assert twin is not None
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.classifier.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in defense.classifier.modules())


class Turning(nn.Module):
    """Takes another way for dark images."""

    def __init__(self):
        super().__init__()
        self.net = NarrowResNet18(2, 1, width=8)

    def forward(self, images):
        return self.net(images) if images.mean() > 0.2 else -self.net(images)


class Quiet(nn.Module):
    """Behaves otherwise while it is traced than when it is asked."""

    def __init__(self):
        super().__init__()
        self.net = NarrowResNet18(2, 1, width=8)

    def forward(self, images):
        return self.net(images) * (1 if isinstance(images, torch.fx.Proxy) else 2)


class Rounding(torch.autograd.Function):
    """Rounds, with the gradient of the identity."""

    @staticmethod
    def forward(ctx, images):
        return (images * 32).round() / 32

    @staticmethod
    def backward(ctx, slope):
        return slope


class Quantised(nn.Module):
    """A quantiser of the author's own, whose gradient tracing would lose."""

    def __init__(self):
        super().__init__()
        self.net = NarrowResNet18(2, 1, width=8)

    def forward(self, images):
        return self.net(Rounding.apply(images))


class Detached(nn.Module):
    """While it is traced, the same answers without a gradient."""

    def __init__(self):
        super().__init__()
        self.net = NarrowResNet18(2, 1, width=8)

    def forward(self, images):
        return self.net(images.detach() if isinstance(images, torch.fx.Proxy) else images)


class DropMax:
    """A network with a layer that the runtime's format lacks."""

    def __init__(self):
        self.net = with_statistics(NarrowResNet18(2, 1, width=8))
        self.net = with_drop_max(self.net)


class Overridden:
    """One of the benchmark's networks, but for its forward pass."""

    def __init__(self):
        self.net = with_statistics(NarrowResNet18(2, 1, width=8))
        before = self.net.forward
        self.net.forward = lambda images: before(images) * (2 if torch.jit.is_tracing() else 1)


def test_a_quantiser_keeps_its_own_gradient_in_whatever_is_attacked():
    defense = Defense(with_statistics(Quantised()), 2)
    twin = twin_of(defense, SHAPE, CPU) or defense
    images = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(2))
    told, again = gradient(defense, images), gradient(twin, images)
    assert float(told.abs().max()) > 0
    assert float((told - again).abs().max()) <= 1e-3 * float(told.abs().max())


@pytest.mark.parametrize(
    "network",
    [Quiet(), Detached(), nn.Sequential(nn.Flatten(), nn.Linear(784, 2))],
    ids=["another function when traced", "no gradient when traced", "nothing to fold"],
)
def test_where_no_faithful_twin_can_be_made_there_is_none(network):
    assert twin_of(Defense(network.eval(), 2), SHAPE, CPU) is None


def test_a_way_that_depends_on_the_input_stays():
    defense = Defense(Turning().eval(), 2)
    twin = twin_of(defense, SHAPE, CPU)
    assert twin is not None
    for images in (torch.full((2, *SHAPE), 0.1), torch.full((2, *SHAPE), 0.9)):
        assert torch.allclose(twin.logits(images), defense.logits(images), atol=AGREEMENT)


@pytest.mark.parametrize("architecture", ["ag-sononet16", "small-mobilenetv2"])
def test_a_network_is_folded_where_it_can_be_traced_though_the_way_to_it_cannot(architecture):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = ARCHITECTURES[architecture](2, 1)
    assert twin_of(Defense(with_statistics(network), 2), (1, 64, 64), CPU) is not None


def test_queries_of_a_network_of_the_benchmarks_own_are_answered_by_the_runtime():
    defense = Defense(with_statistics(NarrowResNet18(2, 1, width=8)), 2)
    twin = twin_of(defense, SHAPE, CPU)
    assert twin is not None
    assert isinstance(twin.classifier, Compiled)
    for count in (1, 7, 0):
        images = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(2))
        told, again = (asked.predict(images, Randomness(range(count))) for asked in (defense, twin))
        assert torch.allclose(told.probs, again.probs, atol=AGREEMENT)
        assert torch.equal(told.label, again.label)


@pytest.mark.parametrize("network", [DropMax(), Overridden()], ids=["cannot be written down", "another forward"])
def test_what_the_runtime_cannot_take_is_answered_as_before(network):
    twin = twin_of(Defense(network.net, 2), SHAPE, CPU)
    assert twin is None or not isinstance(twin.classifier, Compiled)
