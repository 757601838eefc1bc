"""With no more queries our query attacks leave no more images standing than the field's own implementations."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torchattacks
from torch import Tensor

from benchmark.attacks.norms import distance
from benchmark.defense import Defense

from .peers import foolbox_hopskipjump, leaving_no_trace, torchattacks_one_pixel

COUNT = 40

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _peers_leave_no_trace() -> Iterator[None]:
    with leaving_no_trace():
        yield


def first(toy):
    return replace(toy, images=toy.images[:COUNT], labels=toy.labels[:COUNT])


def ours(run, toy, method, params, eps_255) -> float:
    defense = Defense(toy.net, toy.num_classes)
    return run(method, params, defense, toy.images, toy.labels, eps_255).robust.float().mean().item()


def accuracy(toy, candidates: Tensor) -> float:
    return (toy.net(candidates).argmax(dim=1) == toy.labels).float().mean().item()


@pytest.mark.parametrize("num_classes", [2, 10])
def test_spsa_is_no_weaker_than_torchattacks(run, problem, num_classes):
    toy, eps_255 = first(problem(num_classes)), 32
    peer = torchattacks.SPSA(toy.net, eps=eps_255 / 255, delta=0.01, lr=0.01, nb_iter=25, nb_sample=24)
    theirs = accuracy(toy, peer(toy.images, toy.labels))
    params = {"samples": 24, "iterations": 25, "queries": 2 * 24 * 25}
    assert ours(run, toy, "spsa", params, eps_255) <= theirs + 0.01


@pytest.mark.parametrize("num_classes", [2, 10])
def test_one_pixel_is_no_weaker_than_torchattacks(run, problem, num_classes):
    toy = first(problem(num_classes))
    found, queries = torchattacks_one_pixel(toy, 3)
    assert ours(run, toy, "one-pixel", {"queries": queries}, 3) <= accuracy(toy, found) + 1e-6


@pytest.mark.parametrize(("norm", "eps_255"), [("linf", 40.0), ("l2", 24.0)])
@pytest.mark.parametrize("num_classes", [2, 10])
def test_hopskipjump_is_no_weaker_than_foolbox(run, problem, num_classes, norm, eps_255):
    toy = first(problem(num_classes))
    found, queries = foolbox_hopskipjump(toy, norm)
    theirs = ((distance(found, toy.images, norm) > eps_255) | (toy.net(found).argmax(dim=1) == toy.labels)).float()
    assert ours(run, toy, "hopskipjump", {"queries": queries, "norm": norm}, eps_255) <= theirs.mean() + 0.01
