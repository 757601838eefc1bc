"""Scores are found inside a defense whatever hides them, with the gradient of what is computed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.defense import Decision, Defense
from benchmark.defense.inner import inner_defenses
from benchmark.defense.runtime import is_own
from benchmark.defense.stages import GaussianNoise
from benchmark.defense.transparent import seen_through
from benchmark.models import NarrowResNet18
from benchmark.randomness import Randomness

SHAPE = (1, 8, 8)
IMAGES = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(1))


def linear() -> nn.Linear:
    network = nn.Linear(64, 2)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        network.weight.copy_(torch.randn(2, 64, generator=generator))
        network.bias.zero_()
    return network


NETWORK = linear()
TRUE = (NETWORK.weight[0] - NETWORK.weight[1]).reshape(SHAPE).sign()
"""Signs of the gradient of the first score's margin, everywhere."""


def hard(scores: Tensor) -> Tensor:
    return 4.0 * (2 * F.one_hot(scores.argmax(dim=1), 2).float() - 1)


class Lie(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images):
        ctx.save_for_backward(images)
        return images.clone()

    @staticmethod
    def backward(ctx, slope):
        return -slope.flip(-1)


class LieWithSetup(torch.autograd.Function):
    @staticmethod
    def forward(images):
        return images * 1

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable()

    @staticmethod
    def backward(ctx, slope):
        return -slope


class OutOfTorch(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images):
        return torch.from_numpy(np.round(images.detach().numpy() * 31) / 31)

    @staticmethod
    def backward(ctx, slope):
        return torch.zeros_like(slope)


def under_no_grad(images):
    with torch.no_grad():
        return hard(NETWORK(images.flatten(1)))


def in_inference_mode(images):
    with torch.inference_mode():
        scores = NETWORK(images.flatten(1))
    return hard(scores.clone())


def hooked(images):
    leaf = images * 1
    if leaf.requires_grad:
        leaf.register_hook(lambda slope: -slope)
    return NETWORK(leaf.flatten(1))


def stand_in(images):
    """The usual straight-through trick, around a comparison that has no gradient at all."""
    code = (images[..., None] > torch.tensor([0.25, 0.5, 0.75])).float().sum(dim=-1) / 3
    return NETWORK((images + (code - images).detach()).flatten(1))


HIDDEN = {
    "detached": lambda images: hard(NETWORK(images.flatten(1)).detach()) + 0 * images.sum(),
    "no_grad": under_no_grad,
    "inference mode": in_inference_mode,
    "a hook turns the gradient": hooked,
    "a false backward pass": lambda images: NETWORK(Lie.apply(images).flatten(1)),
    "a false backward pass with its context set up": lambda images: NETWORK(LieWithSetup.apply(images).flatten(1)),
    "computed outside of torch": lambda images: NETWORK(OutOfTorch.apply(images).flatten(1)),
    "through numpy": lambda images: hard(
        NETWORK(torch.from_numpy(np.round(images.detach().numpy() * 31) / 31).flatten(1))
    ),
    "through a list": lambda images: hard(NETWORK(torch.tensor(images.detach().tolist()).flatten(1))),
    "rounded": lambda images: NETWORK(((images * 15).round() / 15).flatten(1)),
    "divided without rest": lambda images: NETWORK((images * 255 // 16 * 16 / 255).flatten(1)),
    "whole numbers": lambda images: NETWORK(((images * 255).to(torch.uint8) & 0xF0).float().flatten(1) / 255),
    "straight through a comparison": stand_in,
    "no module": lambda images: hard(images.detach().flatten(1) @ NETWORK.weight.T),
}


def one_by_one(images):
    with torch.no_grad():
        return torch.cat([hard(NETWORK(image.reshape(1, -1))) for image in images])


def one_score(images):
    with torch.no_grad():
        score = images.flatten(1) @ (NETWORK.weight[0] - NETWORK.weight[1])
    return hard(torch.stack([score, -score], dim=1))


def looks_for_gradients(images):
    if images.requires_grad or torch.is_grad_enabled():
        return images.flatten(1)[:, :2] * 9
    return hard(NETWORK(images.flatten(1)))


def unwatched(images):
    with torch._C.DisableTorchFunction():
        return hard(NETWORK(images.detach().flatten(1)))


def in_a_thread(images):
    told = []
    thread = threading.Thread(target=lambda: told.append(under_no_grad(images)))
    thread.start()
    thread.join()
    return told[0]


def in_a_pool(images):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(under_no_grad, images).result()


DECOYS = torch.randn(9, 64, 2, generator=torch.Generator().manual_seed(3))


def behind_decoys(images):
    nothing = sum(images.flatten(1) @ decoy for decoy in DECOYS)
    return under_no_grad(images) + 0 * nothing.detach()


HIDDEN |= {
    "images one by one": one_by_one,
    "one score for two classes": one_score,
    "it looks for gradients": looks_for_gradients,
    "function modes are switched off": unwatched,
    "in a thread": in_a_thread,
    "in a pool of threads": in_a_pool,
    "behind decoys": behind_decoys,
}


class Deciding(Defense):
    """Decides by a function of its own, and shows the usual attacks nothing of it."""

    def __init__(self, decide):
        super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), 2)
        self.decide = decide

    def _decide(self, images, draw):
        scores = self.decide(images)
        return Decision(probs=scores.softmax(dim=1), label=scores.argmax(dim=1))


def slopes(defense: Defense) -> list[Tensor]:
    found = []
    for inside in seen_through(defense, IMAGES):
        leaf = IMAGES.clone().requires_grad_()
        told = inside.adaptive_logits(leaf, Randomness(range(len(IMAGES))), 3)
        (slope,) = torch.autograd.grad((told[..., 0] - told[..., 1]).sum(), leaf)
        found.append(slope)
    return found


@pytest.mark.parametrize("name", HIDDEN)
def test_the_true_gradient_is_found_whatever_hides_it(name):
    found = slopes(Deciding(HIDDEN[name]))
    assert any(bool((slope.sign() == TRUE).all()) for slope in found)


@pytest.mark.parametrize("name", HIDDEN)
def test_the_defense_is_itself_again_afterwards(name):
    defense = Deciding(HIDDEN[name])
    before = defense.predict(IMAGES, Randomness(range(len(IMAGES))))
    seen_through(defense, IMAGES)
    after = defense.predict(IMAGES, Randomness(range(len(IMAGES))))
    assert torch.equal(before.probs, after.probs)
    assert not after.probs.requires_grad
    leaf = IMAGES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(Lie.apply(leaf)[..., :4].sum(), leaf)
    assert float(slope[..., :4].abs().sum()) == 0


def test_an_error_inside_leaves_nothing_switched():
    def fails(images):
        raise ValueError("as planned")

    assert seen_through(Deciding(fails), IMAGES) == []
    with torch.no_grad():
        assert not torch.is_grad_enabled()


def test_scores_of_a_random_defense_are_those_of_its_copies():
    class Noisy(Deciding):
        def _decide(self, images, draw):
            return super()._decide(self._through_stages(images, draw, 1, backward=None), draw)

    defense = Noisy(HIDDEN["no_grad"])
    defense.stages = nn.ModuleList([GaussianNoise(0.1)])
    (inside, *_) = seen_through(defense, IMAGES)
    told = inside.adaptive_logits(IMAGES, Randomness(range(len(IMAGES))), 3)
    assert told.shape == (3, len(IMAGES), 2)
    assert not torch.equal(told[0], told[1])


def test_a_defense_of_the_benchmarks_own_parts_is_not_looked_through():
    network = NarrowResNet18(2, 1, width=8).eval()
    images = torch.rand(2, 1, 28, 28)
    assert inner_defenses(Defense(network, 2), images) == []
    assert inner_defenses(Deciding(HIDDEN["no_grad"]), IMAGES) != []


@pytest.mark.parametrize("how", ["a part", "a hook", "another name"])
def test_a_network_of_the_benchmark_that_was_altered_is_none_of_its_own(how):
    network = NarrowResNet18(2, 1, width=8).eval()
    assert is_own(network)
    if how == "a part":
        network.head[2] = Altered()
    elif how == "a hook":
        network.register_forward_hook(lambda module, given, told: told.detach())
    else:
        network = nn.Sequential(network, Pretending())
    assert not is_own(network)


class Altered(nn.Linear):
    def __init__(self):
        super().__init__(64, 2)


class Pretending(nn.Identity):
    __module__ = "benchmark.models.resnet"
