"""Our attacks beside the field's own, in one run: the ratio of times and both accuracies stand in ``extra_info``."""

import time
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchattacks
from pyautoattack.autopgd_base import APGDAttack
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmark.access import black_box, white_box
from benchmark.attacks import build
from benchmark.defense import Defense
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

EPS_255 = 24.0
EPS = EPS_255 / 255
Peer = Callable[[nn.Module, Tensor, Tensor], Tensor]

PAIRS: dict[str, tuple[str, dict[str, object], Peer]] = {
    "pgd": ("pgd", {}, lambda net, x, y: torchattacks.PGD(net, eps=EPS, alpha=EPS / 4, steps=20)(x, y)),
    "apgd-ce": ("apgd", {}, lambda net, x, y: APGDAttack(net, eps=EPS, device="cpu").perturb(x, y)),
    "fab-t": (
        "fab-t",
        {"n_targets": 2},
        lambda net, x, y: FABAttack_PT(net, eps=EPS, targeted=True, n_target_classes=2, device="cpu").perturb(x, y),
    ),
    "square": (
        "square",
        {"queries": 500},
        lambda net, x, y: SquareAttack(net, eps=EPS, n_queries=500, device="cpu").perturb(x, y),
    ),
}


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """A small convolutional network on handwritten digits, and 128 test images that it gets right."""
    source = load_digits()
    images = torch.tensor(source.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(source.target, dtype=torch.int64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten())
        net.append(nn.Linear(32 * 16, 10))
        optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
        for _ in range(6):
            for batch in torch.randperm(1200).split(64):
                optimiser.zero_grad()
                F.cross_entropy(net(images[batch]), labels[batch]).backward()
                optimiser.step()
    net.eval().requires_grad_(False)
    right = (net(images[1200:]).argmax(dim=1) == labels[1200:]).nonzero().squeeze(1)[:128] + 1200
    return net, images[right], labels[right]


@pytest.mark.parametrize("name", PAIRS)
def test_speed_beside_the_peer(benchmark, trained, name):
    net, images, labels = trained
    method, params, peer = PAIRS[name]
    attack, defense, draw = build(method, params), Defense(net, 10), Randomness(range(len(images)))

    def ours() -> Tensor:
        scores = attack.knowledge == "scores"
        view = black_box(defense, draw.fork("view"), 5000) if scores else white_box(defense, draw.fork("view"))
        return attack(view, Classification(10).goal(labels), images, EPS_255, draw.fork("attack"))

    def standing(candidates: Tensor) -> float:
        return (net.eval()(candidates).argmax(dim=1) == labels).float().mean().item()

    with torch.random.fork_rng():
        started = time.perf_counter()
        theirs = peer(net, images, labels)
        seconds = time.perf_counter() - started
    found = benchmark.pedantic(ours, rounds=1, warmup_rounds=1)
    benchmark.extra_info["peer_seconds"] = seconds
    if benchmark.stats is not None:
        benchmark.extra_info["ours_over_peer"] = benchmark.stats.stats.min / seconds
    benchmark.extra_info["robust_accuracy"] = standing(found)
    benchmark.extra_info["peer_robust_accuracy"] = standing(theirs)
    assert standing(found) <= standing(theirs) + 0.03
