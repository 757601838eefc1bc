"""On the same network and images our attacks leave no more images standing than the field's own implementations."""

from collections.abc import Callable, Iterator

import pytest
import torch
import torchattacks
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from torch import Tensor

from benchmark.defense import Defense

from .peers import auto_attack, custom_auto_attack, leaving_no_trace

EPS_255 = 32.0
EPS = EPS_255 / 255
TOLERANCE = 0.02
OURS = {
    "apgd-ce": ("apgd", {"loss": "cross_entropy"}),
    "apgd-t": ("apgd", {"loss": "targeted"}),
    "fab-t": ("fab-t", {}),
    "square": ("square", {}),
}


@pytest.fixture(autouse=True)
def _peers_leave_no_trace() -> Iterator[None]:
    with leaving_no_trace():
        yield


def accuracy(toy, candidates: Tensor) -> float:
    toy.net.eval()
    return (toy.net(candidates).argmax(dim=1) == toy.labels).float().mean().item()


def ours(run, toy, method, eps_255=EPS_255, **params) -> float:
    defense = Defense(toy.net, toy.num_classes)
    return run(method, params, defense, toy.images, toy.labels, eps_255).robust.float().mean().item()


def our_auto_attack(run, toy, names, eps_255=EPS_255, **square) -> float:
    """AutoAttack as the matrix runs it: each attack on the images that still stand."""
    defense = Defense(toy.net, toy.num_classes)
    standing = torch.ones(len(toy.images), dtype=torch.bool)
    for name in names:
        method, params = OURS[name]
        place = standing.nonzero().squeeze(1)
        params = params | square if method == "square" else params
        standing[place] = run(method, params, defense, toy.images[place], toy.labels[place], eps_255).robust
    return standing.float().mean().item()


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_fgsm_equals_torchattacks(run, problem, num_classes):
    toy = problem(num_classes)
    theirs = torchattacks.FGSM(toy.net.eval(), eps=EPS)(toy.images, toy.labels)
    assert ours(run, toy, "fgsm") == pytest.approx(accuracy(toy, theirs), abs=0.0051)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_pgd_is_no_weaker_than_torchattacks(run, problem, num_classes):
    toy = problem(num_classes)
    theirs = torchattacks.PGD(toy.net.eval(), eps=EPS, alpha=EPS / 4, steps=20)(toy.images, toy.labels)
    # One random start each: on twelve networks the two differ by up to two images in either direction.
    assert ours(run, toy, "pgd") <= accuracy(toy, theirs) + 2 * TOLERANCE


@pytest.mark.parametrize(("num_classes", "loss", "theirs"), [(2, "cross_entropy", "ce"), (10, "dlr", "dlr")])
def test_apgd_is_no_weaker_than_pyautoattack(run, problem, num_classes, loss, theirs):
    toy = problem(num_classes)
    peer = APGDAttack(toy.net, eps=EPS, loss=theirs, device="cpu").perturb(toy.images, toy.labels)
    assert ours(run, toy, "apgd", loss=loss) <= accuracy(toy, peer) + TOLERANCE


def test_targeted_apgd_is_no_weaker_than_pyautoattack(run, problem):
    toy = problem(10)
    peer = APGDAttack_targeted(toy.net, eps=EPS, n_target_classes=2, n_iter=40, device="cpu")
    theirs = accuracy(toy, peer.perturb(toy.images, toy.labels))
    assert ours(run, toy, "apgd", loss="targeted", n_targets=2, iterations=40) <= theirs + TOLERANCE


@pytest.mark.parametrize(("num_classes", "targets"), [(2, 1), (3, 2), (10, 2)])
def test_fab_is_no_weaker_than_pyautoattack(run, problem, num_classes, targets):
    toy = problem(num_classes)
    peer = FABAttack_PT(toy.net, eps=EPS, targeted=True, n_target_classes=targets, n_iter=25, device="cpu")
    theirs = accuracy(toy, peer.perturb(toy.images, toy.labels))
    assert ours(run, toy, "fab-t", n_targets=targets, iterations=25) <= theirs + 0.005


@pytest.mark.parametrize("num_classes", [2, 10])
def test_square_is_no_weaker_than_pyautoattack(run, problem, num_classes):
    toy = problem(num_classes)
    peer = SquareAttack(toy.net, eps=EPS, n_queries=300, resc_schedule=True, device="cpu")
    theirs = accuracy(toy, peer.perturb(toy.images, toy.labels))
    assert ours(run, toy, "square", queries=300) <= theirs + TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [2, 3])
def test_auto_attack_for_few_classes_is_no_weaker_than_what_pyautoattack_can_run(run, problem, num_classes):
    toy = problem(num_classes)
    theirs = accuracy(toy, custom_auto_attack(toy, EPS))
    found = our_auto_attack(run, toy, ["apgd-ce", "apgd-t", "fab-t", "square"], queries=1000)
    assert 0.1 < found < 0.9
    assert found <= theirs + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("adversarial", [True, False])
def test_auto_attack_agrees_with_pyautoattack_standard_on_ten_classes(run, problem, adversarial):
    toy = problem(10, adversarial)
    eps_255 = EPS_255 if adversarial else 24.0
    candidates = auto_attack(toy, eps_255 / 255)
    found = our_auto_attack(run, toy, list(OURS), eps_255)
    assert 0.1 < found < 0.9
    assert found <= accuracy(toy, candidates) + 0.01


def test_the_peers_are_given_a_network_in_eval_mode(problem):
    """torchattacks leaves a wrapper in train mode if it found it so: the parity above would be with another network."""
    make: Callable[..., object] = problem
    assert not any(module.training for module in make(10).net.modules())
