"""Networks inside a defense are reached through its host."""

import torch

from benchmark.access import adaptive
from benchmark.attacks import build as attack_of
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

from .conftest import CLASSES, Build, network

LABELS_ALONE = """
from benchmark.defense.stages import GaussianNoise

class Net(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.hidden = [net]
    def forward(self, images):
        with torch.no_grad():
            label = self.hidden[0](images).argmax(dim=1)
        return nn.functional.one_hot(label, 3) * 8.0 + 0 * images.sum()

def build(context):
    return Defense(Net(linear(context)), context.num_classes, stages=STAGES)
"""


def test_a_hidden_network_has_its_own_logits_and_gradient(build: Build, images: torch.Tensor) -> None:
    (inner,) = build(LABELS_ALONE.replace("STAGES", "()")).inner(images)
    leaf = images.clone().requires_grad_()
    logits = inner.adaptive_logits(leaf, Randomness(range(5)), 1)[0]
    assert torch.allclose(logits, network()(images), atol=1e-3)
    gradient = torch.autograd.grad(logits[:, 0].sum(), leaf)[0]
    assert bool((gradient.flatten(1).abs().sum(dim=1) > 0).all())


def test_a_network_behind_a_random_stage_is_averaged_over_its_draws(build: Build, images: torch.Tensor) -> None:
    (inner,) = build(LABELS_ALONE.replace("STAGES", "[GaussianNoise(0.1)]")).inner(images)
    assert inner.stochastic
    assert inner.adaptive_logits(images, Randomness(range(5)), 4).shape == (4, 5, CLASSES)


def test_a_plain_defense_has_none(build: Build, images: torch.Tensor) -> None:
    assert build().inner(images) == []


def test_the_attack_breaks_in_a_host_what_lets_no_gradient_through(build: Build, images: torch.Tensor) -> None:
    target = build(LABELS_ALONE.replace("STAGES", "()"))
    labels = target.predict(images, Randomness(range(5))).label
    goal = Classification(CLASSES).goal(labels)
    broken = {}
    for method in ("pgd", "inner"):
        view = adaptive(target, Randomness(range(5)), 1)
        found = attack_of(method, {})(view, goal, images, 64.0, Randomness(range(5)))
        broken[method] = int((target.predict(found, Randomness(range(5))).label != labels).sum())
    assert broken["inner"] == 5
    assert broken["pgd"] < 5
