"""The networks inside a defense fall to whoever calls them, whatever is wrapped around them."""

import zlib

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.access import adaptive
from benchmark.defense import Decision, Defense
from benchmark.defense.inner import inner_networks
from benchmark.defense.stages import GaussianNoise
from benchmark.randomness import Randomness

from .problem import LabelsAlone

CLASSES = 3
EPS_255 = 30.0


class Backwards(torch.autograd.Function):
    """The identity, with the gradient of its opposite."""

    @staticmethod
    def forward(ctx, images):
        return images.clone()

    @staticmethod
    def backward(ctx, slope):
        return -slope


class Kept(LabelsAlone):
    """Likewise, with the network where no list of modules shows it."""

    def __init__(self, net: nn.Module) -> None:
        nn.Module.__init__(self)
        self.hidden = [net]

    def forward(self, images: Tensor) -> Tensor:
        self.__dict__["net"] = self.hidden[0]
        return super().forward(images)


class FalseGradient(nn.Module):
    """Right scores, a gradient that leads away."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(Backwards.apply(images))


class LyingPipeline(Defense):
    """A plain network, whose attackers are given another pipeline than the deployed one."""

    def adaptive_logits(self, images, draw, copies, backward="declared"):
        return super().adaptive_logits(Backwards.apply(images), draw, copies, backward)

    def _decide(self, images: Tensor, draw: Randomness) -> Decision:
        label = super()._decide(images, draw).label
        return Decision(probs=0.1 + 0.8 * F.one_hot(label, CLASSES).float(), label=label)


DEFENSES = {
    "a label without a gradient": lambda net: Defense(LabelsAlone(net), CLASSES),
    "a network that no list of modules shows": lambda net: Defense(Kept(net), CLASSES),
    "a false gradient": lambda net: Defense(FalseGradient(net), CLASSES),
    "another pipeline for attackers": lambda net: LyingPipeline(net, CLASSES),
    "noise before a label": lambda net: Defense(LabelsAlone(net), CLASSES, [GaussianNoise(0.03)]),
}


@pytest.mark.parametrize("kind", DEFENSES)
def test_what_hides_its_gradient_falls_nearly_as_far_as_the_bare_network(run, problem, kind):
    small = problem(CLASSES)
    images, labels = small.images[:40], small.labels[:40]

    def left(method: str, params: dict[str, object], defense: Defense) -> int:
        view = adaptive(defense, Randomness(range(len(images))), 8)
        return int(run(method, params, defense, images, labels, EPS_255, view=view).robust.sum())

    bare = left("pgd", {"steps": 50, "loss": "margin", "restarts": 2}, Defense(small.net, CLASSES))
    hidden = DEFENSES[kind](small.net)
    assert left("pgd", {"steps": 50, "loss": "margin", "restarts": 2}, hidden) >= bare + 8
    assert left("inner", {}, hidden) <= bare + 3


def test_a_bare_network_has_no_other_inside(run, problem):
    small = problem(CLASSES)
    defense = Defense(small.net, CLASSES)
    assert inner_networks(defense, small.images) == []
    view = adaptive(defense, Randomness(range(5)), 1)
    outcome = run("inner", {}, defense, small.images[:5], small.labels[:5], EPS_255, view=view)
    assert torch.equal(outcome.candidates, small.images[:5])
    assert outcome.view.queries.tolist() == [0] * 5


def test_networks_of_an_ensemble_are_found_once_each(problem):
    small = problem(CLASSES)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = LabelsAlone(small.net), small.net

        def forward(self, images: Tensor) -> Tensor:
            return self.first(images) + self.second(images)

    both = Both()
    found = inner_networks(Defense(both, CLASSES), small.images)
    assert len(found) == 2
    assert any(one is both.first for one in found)
    assert any(one is small.net for one in found)


def test_candidates_stay_in_the_ball_and_costs_are_counted(run, problem):
    small = problem(CLASSES)
    images, labels = small.images[:6], small.labels[:6]
    defense = Defense(LabelsAlone(small.net), CLASSES)
    view = adaptive(defense, Randomness(range(6)), 1)
    params = {"steps": 3, "restarts": 1, "iterations": 4}
    outcome = run("inner", params, defense, images, labels, 4.0, view=view)
    assert float((outcome.candidates - images).abs().max()) <= 4 / 255 + 1e-6
    assert bool(((outcome.candidates >= 0) & (outcome.candidates <= 1)).all())
    # Both attacks where the first has failed: 3 + 1 and 4 + 1 forward passes, and 1 + 16 decisions after each.
    assert int(outcome.view.queries.max()) == 4 + 17 + 5 + 17


class Hashed(nn.Module):
    """Noise that an image's own bits decide, before a label without a gradient."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.hidden = (net,)

    def forward(self, images: Tensor) -> Tensor:
        seeds = [zlib.crc32(one.contiguous().numpy().tobytes()) for one in images.detach()]
        noise = [torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        with torch.no_grad():
            label = self.hidden[0](images + 0.15 * torch.stack(noise)).argmax(dim=1)
        return 8.0 * F.one_hot(label, CLASSES) + 0 * images.sum()


def test_neighbours_of_a_candidate_break_what_only_seems_to_be_deterministic(run, problem, monkeypatch):
    small = problem(CLASSES)
    images, labels = small.images[:40], small.labels[:40]
    defense = Defense(Hashed(small.net), CLASSES)

    def left(neighbours: int) -> int:
        monkeypatch.setattr("benchmark.attacks.inner.NEIGHBOURS", neighbours)
        view = adaptive(defense, Randomness(range(len(images))), 1)
        return int(run("inner", {}, defense, images, labels, EPS_255, view=view).robust.sum())

    assert left(16) <= left(0) - 3


def test_a_defense_with_a_network_for_dark_and_one_for_bright_images_opens_both(problem):
    small = problem(CLASSES)

    class Router(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dark, self.bright = LabelsAlone(small.net), small.net

        def forward(self, images: Tensor) -> Tensor:
            return self.dark(images) if float(images.mean()) < 0.5 else self.bright(images)

    router = Router()
    probes = torch.tensor([0.1, 0.9])[:, None, None, None].expand(2, 1, 8, 8)
    found = inner_networks(Defense(router, CLASSES), probes)
    assert any(one is router.dark for one in found)
    assert any(one is router.bright for one in found)
