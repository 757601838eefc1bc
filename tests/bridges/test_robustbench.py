"""RobustBench through its bridge."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from benchmark.bridges.robustbench import architecture, clean_accuracy
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.randomness import Randomness

STATE = """
import random, sys, numpy, torch
def state():
    return [
        torch.get_rng_state().tolist(), numpy.random.get_state()[1].tolist(), random.getstate(),
        torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(), torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic, torch.get_float32_matmul_precision(), sys.gettrace(),
    ]
before = state()
from benchmark.bridges import robustbench
assert "robustbench" not in sys.modules, "imported at once"
from torch import nn
accuracy = robustbench.clean_accuracy(nn.Flatten(), torch.eye(2)[:, None, None], torch.tensor([0, 0]))
assert accuracy == 0.5
assert "robustbench" in sys.modules
for a, b in zip(before, state(), strict=True):
    assert a == b, (a, b)
"""


@pytest.mark.slow
def test_importing_it_changes_no_global_state_and_happens_at_the_first_call():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", STATE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_clean_accuracy_is_the_share_of_right_labels_for_any_batch_size(batch_size):
    logits = torch.randn(7, 4, 1, 1, generator=torch.Generator().manual_seed(0))
    labels = logits.flatten(1).argmax(dim=1)
    labels[:3] = (labels[:3] + 1) % 4
    assert clean_accuracy(nn.Flatten(), logits, labels, batch_size) == pytest.approx(4 / 7)


def test_a_wide_resnet_serves_as_the_classifier_of_a_defense():
    network = architecture("wide_resnet.WideResNet", depth=10, widen_factor=1, num_classes=3)
    decision = Defense(network, 3).predict(torch.rand(2, 3, 32, 32), Randomness([1, 2]))
    assert decision.probs.shape == (2, 3)


def test_normalisation_stays_inside_the_architecture():
    torch.manual_seed(0)
    statistics = {"mean": (0.2, 0.3, 0.4), "std": (0.5, 0.6, 0.7)}
    network = architecture("dm_wide_resnet.DMWideResNet", depth=10, width=1, num_classes=2, **statistics).eval()
    bare = architecture("dm_wide_resnet.DMWideResNet", depth=10, width=1, num_classes=2, mean=(0,) * 3, std=(1,) * 3)
    bare.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(statistics[name]).reshape(1, 3, 1, 1) for name in ("mean", "std"))
    torch.testing.assert_close(network(images), bare.eval()((images - mean) / std))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("wide_resnet.WideRezNet", {}, "Did you mean 'WideResNet'?"),
        ("wide_rezzznet.WideResNet", {}, "no module of architectures 'wide_rezzznet'"),
        ("../etc.passwd", {}, "no module of architectures"),
        ("wide_resnet", {}, "has no architecture ''"),
        ("wide_resnet.WideResNet", {"depth": 11}, "refuses the options {'depth': 11}"),
        ("wide_resnet.WideResNet", {"colour": 1}, "unexpected keyword argument 'colour'"),
    ],
)
def test_a_wrong_name_or_option_is_one_sentence(name, options, words):
    with pytest.raises(BenchError) as refusal:
        architecture(name, **options)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
