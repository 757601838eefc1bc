"""What holds for every stage: its randomness belongs to the image, and an adaptive attacker gets through it."""

import pytest
import torch

from benchmark.access import adaptive, white_box
from benchmark.attacks.pgd import Pgd
from benchmark.defense import Defense
from benchmark.defense.stages import (
    BitDepth,
    GaussianNoise,
    GaussianSmoothing,
    Jpeg,
    MedianFilter,
    PoissonNoise,
    RandomResize,
    RandomResizeAndPad,
    RandomRotation,
    SaltAndPepper,
    TotalVariation,
)
from benchmark.randomness import Randomness
from benchmark.task.classification import Classification

RANDOM = [
    GaussianNoise(0.1),
    PoissonNoise(100),
    SaltAndPepper(0.1),
    RandomRotation(-20, 20),
    RandomResize(0.75, 1),
    RandomResizeAndPad(1, 1.25),
    RandomResizeAndPad(0.8, 1.0, "bilinear"),
    TotalVariation(0.02, keep=0.8),
]
STEADY = [
    TotalVariation(0.03, keep=1.0),
    GaussianSmoothing(0.6, kernel=3),
    MedianFilter(),
    BitDepth(5),
    BitDepth(4),
    Jpeg(80),
]
EPS_255 = 48
"""Enough that nothing of the bare network is left, and that random signs of that size do little."""


def name_of(stage):
    return type(stage).__name__


def images_of(count, channels=3, size=12):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("stage", RANDOM, ids=name_of)
def test_an_image_meets_the_same_draw_in_any_batch(stage):
    images, seeds = images_of(7), list(range(7))
    together = stage(images, Randomness(seeds))
    apart = [stage(images[part], Randomness(seeds[part])) for part in (slice(0, 1), slice(1, 4), slice(4, 7))]
    assert torch.equal(together, torch.cat(apart))


@pytest.mark.parametrize("stage", RANDOM, ids=name_of)
def test_equal_images_meet_different_draws(stage):
    alike = images_of(1).repeat(12, 1, 1, 1)
    assert len(stage(alike, Randomness(range(12))).flatten(1).unique(dim=0)) > 2


@pytest.mark.parametrize("stage", RANDOM, ids=name_of)
def test_the_first_copies_of_a_vote_are_the_same_however_many_follow(stage):
    images = images_of(2)
    few, many = (
        stage(images.repeat_interleave(copies, dim=0), Randomness([4, 5]).copies_of(range(copies))) for copies in (3, 8)
    )
    assert torch.equal(few.unflatten(0, (2, 3)), many.unflatten(0, (2, 8))[:, :3])


@pytest.mark.parametrize("stage", [*RANDOM, *STEADY], ids=name_of)
def test_the_adaptive_value_is_the_deployed_one(stage):
    images = images_of(3)
    leaf = images.clone().requires_grad_()
    torch.testing.assert_close(stage.bpda(leaf, Randomness(range(3))).detach(), stage(images, Randomness(range(3))))


@pytest.mark.parametrize("stage", [*RANDOM, *STEADY], ids=name_of)
def test_adaptive_pgd_leaves_no_more_than_the_undefended_twin_keeps(problem, stage):
    """Held against signs drawn at random, which the same defense survives, and against ignoring the stage."""
    images, labels, task = problem.images, problem.labels, Classification(3)
    twin, defense = Defense(problem.net, 3), Defense(problem.net, 3, [stage])
    draw = Randomness(range(len(images)))

    def left(system, attacked):
        decision = system.predict(attacked, Randomness(range(900, 900 + len(images))))
        return float(task.score(decision, labels).float().mean())

    def attacked(view):
        return Pgd(steps=10)(view, task.goal(labels), images, EPS_255, draw.fork("attack"))

    signs = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).sign()
    undefended = left(twin, attacked(white_box(twin, draw.fork("view"))))
    ignoring = left(defense, attacked(white_box(defense, draw.fork("view"))))
    adapted = left(defense, attacked(adaptive(defense, draw.fork("view"), 8)))
    assert left(defense, (images + EPS_255 / 255 * signs).clamp(0, 1)) > 0.65
    assert adapted <= undefended + 0.15
    assert adapted <= ignoring + 0.02
