"""A defense in a host answers as the same defense in this process."""

import gc
import os
import sys

import pytest
import torch
from torch import Tensor

from benchmark.access import adaptive, white_box
from benchmark.data.card import Card
from benchmark.defense import Defense
from benchmark.errors import BenchError
from benchmark.host.line import CallFailed
from benchmark.randomness import Randomness

from .conftest import Build, Write

NOISY = """
from benchmark.defense.stages import GaussianNoise, BitDepth, BinomialVote

def build(context):
    return Defense(linear(context), context.num_classes, [BitDepth(5), GaussianNoise(0.1)], BinomialVote(40))
"""


def draw(count: int) -> Randomness:
    return Randomness(range(count))


@pytest.fixture(params=[None, NOISY], ids=["plain", "random and voting"])
def code(request: pytest.FixtureRequest) -> str | None:
    found: str | None = request.param
    return found


@pytest.fixture
def local(code: str | None, write: Write, card: Card) -> Defense:
    return write(*([code] if code else [])).build(card)


@pytest.fixture
def remote(code: str | None, build: Build):  # type: ignore[no-untyped-def]
    return build(*([code] if code else []), salted=False)


def test_decisions_are_equal(local, remote, images: Tensor) -> None:  # type: ignore[no-untyped-def]
    ours, theirs = local.predict(images, draw(5)), remote.predict(images, draw(5))
    assert torch.equal(ours.probs, theirs.probs)
    assert torch.equal(ours.label, theirs.label)
    assert (ours.copies is None) == (theirs.copies is None)


def test_gradients_are_equal(local, remote, images: Tensor) -> None:  # type: ignore[no-untyped-def]
    rows = torch.arange(5)
    seen = [
        adaptive(target, draw(5), 3).evaluate(images, lambda logits: logits[:, 0] - logits[:, 1], rows)
        for target in (local, remote)
    ]
    assert torch.equal(seen[0].gradient, seen[1].gradient)
    assert torch.equal(seen[0].logits, seen[1].logits)
    assert bool(seen[0].gradient.abs().sum() > 0)


def test_features_and_their_gradient_are_equal(local, remote, images: Tensor) -> None:  # type: ignore[no-untyped-def]
    rows = torch.arange(5)

    def far(features, logits):  # type: ignore[no-untyped-def]
        return features["penultimate"].square().sum(dim=1) + logits[:, 0]

    seen = [adaptive(target, draw(5), 3).evaluate_features(images, far, rows) for target in (local, remote)]
    assert torch.allclose(seen[0].gradient, seen[1].gradient, rtol=0, atol=1e-6)


def test_facts_are_equal(local, remote) -> None:  # type: ignore[no-untyped-def]
    for name in ("num_classes", "stochastic", "plain", "detects", "alternative_backward", "feature_layers"):
        assert getattr(local, name) == getattr(remote, name), name


def test_one_forward_pass_has_several_gradients(build: Build, images: Tensor) -> None:
    leaf = images.clone().requires_grad_()
    logits = build().logits(leaf)
    each = [torch.autograd.grad(logits[:, k].sum(), leaf, retain_graph=True)[0] for k in range(3)]
    assert not torch.equal(each[0], each[1])
    whole = torch.autograd.grad(logits.sum(), leaf)[0]
    assert torch.allclose(sum(each), whole, atol=1e-6)  # type: ignore[arg-type]


def test_a_forward_pass_outlives_the_fork_that_others_would_have_got(build: Build, images: Tensor) -> None:
    remote = build()
    leaf = images.clone().requires_grad_()
    held = remote.logits(leaf)
    for _ in range(40):
        remote.logits(images)
    assert bool(torch.autograd.grad(held.sum(), leaf)[0].abs().sum() > 0)


def test_forward_passes_are_let_go(build: Build, images: Tensor) -> None:
    remote = build()
    for _ in range(30):
        white_box(remote, draw(5)).evaluate(images, lambda logits: logits[:, 0], torch.arange(5))
    gc.collect()
    assert not remote._residence._held


def test_what_a_defense_raises_is_told_in_its_own_words(build: Build, images: Tensor) -> None:
    remote = build(
        """
class Picky(Defense):
    def predict(self, images, draw):
        if len(images) == 5:
            raise ValueError("five is too many")
        return super().predict(images, draw)

def build(context):
    return Picky(linear(context), context.num_classes)
"""
    )
    with pytest.raises(CallFailed, match=r"^ValueError: five is too many \(defense.py:\d+\)"):
        remote.predict(images, draw(5))
    assert remote.predict(images[:4], draw(4)).label.shape == (4,)


def test_what_cannot_be_built_is_told_with_the_files_own_place(write: Write, build: Build) -> None:
    code = "def build(context):\n    raise KeyError('no')\n"
    folder = write(code).folder
    with pytest.raises(BenchError, match=f"{folder}/defense.py: building the defense for 'toy' failed with KeyError"):
        build(code)


def test_nothing_is_imported_here(build: Build, images: Tensor) -> None:
    build("os.environ['IMPORTED'] = 'yes'\nsys.modules['imported_by_an_entry'] = sys\n" + PLAIN_CODE).predict(
        images, draw(5)
    )
    assert "IMPORTED" not in os.environ
    assert "imported_by_an_entry" not in sys.modules


PLAIN_CODE = "def build(context):\n    return Defense(linear(context), context.num_classes)\n"


def test_a_host_leaves_no_process(build: Build, images: Tensor) -> None:
    remote = build()
    remote.predict(images, draw(5))
    process = remote._residence._host._process
    assert os.path.exists(f"/proc/{process}")  # noqa: PTH110
    remote._residence.close()
    for _ in range(100):
        if not os.path.exists(f"/proc/{process}"):  # noqa: PTH110
            return
        torch.rand(10**6).sum()
    raise AssertionError("the host lives on")
