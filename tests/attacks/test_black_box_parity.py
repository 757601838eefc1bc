"""With no more queries our query attacks leave no more images standing than the field's own implementations."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torchattacks
from torch import Tensor, nn

from benchmark.attacks.norms import distance
from benchmark.defense import Defense

COUNT = 40


@pytest.fixture(autouse=True)
def _peers_leave_no_trace() -> Iterator[None]:
    """The peers draw from global generators, and would otherwise begin differently in every run."""
    state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        np.random.seed(0)
        yield
    np.random.set_state(state)


class Counted(nn.Module):
    """A network that counts the images it is asked about."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.images = net, 0

    def forward(self, images: Tensor) -> Tensor:
        self.images += len(images)
        return self.net(images)


def ours(run, toy, method, params, eps_255) -> float:
    images, labels = toy.images[:COUNT], toy.labels[:COUNT]
    return run(method, params, Defense(toy.net, toy.num_classes), images, labels, eps_255).robust.float().mean().item()


def accuracy(toy, candidates: Tensor) -> float:
    return (toy.net(candidates).argmax(dim=1) == toy.labels[:COUNT]).float().mean().item()


@pytest.mark.parametrize("num_classes", [2, 10])
def test_spsa_is_no_weaker_than_torchattacks(run, problem, num_classes):
    toy, eps_255 = problem(num_classes), 32
    peer = torchattacks.SPSA(toy.net, eps=eps_255 / 255, delta=0.01, lr=0.01, nb_iter=25, nb_sample=24)
    theirs = accuracy(toy, peer(toy.images[:COUNT], toy.labels[:COUNT]))
    params = {"samples": 24, "iterations": 25, "queries": 2 * 24 * 25}
    assert ours(run, toy, "spsa", params, eps_255) <= theirs + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [2, 10])
def test_one_pixel_is_no_weaker_than_torchattacks(run, problem, num_classes):
    """By one image of forty at most: both searches are random, and few images stand."""
    toy = problem(num_classes)
    net = Counted(toy.net).eval()
    peer = torchattacks.OnePixel(net, pixels=3, steps=40, popsize=40, inf_batch=128)
    theirs, queries = [], 0
    for image, label in zip(toy.images[:COUNT].split(1), toy.labels[:COUNT].split(1), strict=True):
        net.images = 0
        theirs.append((toy.net(peer(image, label)).argmax(dim=1) == label).float().mean().item())
        queries = max(queries, net.images)
    assert ours(run, toy, "one-pixel", {"queries": queries}, 3) <= sum(theirs) / COUNT + 1 / COUNT + 1e-6


@pytest.mark.parametrize(("norm", "eps_255"), [("linf", 40.0), ("l2", 24.0)])
@pytest.mark.parametrize("num_classes", [2, 10])
def test_hopskipjump_is_no_weaker_than_foolbox(run, problem, num_classes, norm, eps_255):
    foolbox = pytest.importorskip("foolbox")
    toy = problem(num_classes)
    images, labels = toy.images[:COUNT], toy.labels[:COUNT]
    net = Counted(toy.net).eval()
    target = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    peer = foolbox.attacks.HopSkipJumpAttack(steps=5, initial_gradient_eval_steps=100, constraint=norm)
    found, _, _ = peer(target, images, foolbox.criteria.Misclassification(labels), epsilons=None)
    theirs = ((distance(found, images, norm) > eps_255) | (toy.net(found).argmax(dim=1) == labels)).float().mean()
    params = {"queries": net.images // COUNT, "norm": norm}
    assert ours(run, toy, "hopskipjump", params, eps_255) <= theirs + 0.01
