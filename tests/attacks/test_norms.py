"""One unit for three geometries: projections meet ball and box at once and are the nearest such points."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmark.attacks.norms import distance, fill, project, radius, random_start, step
from benchmark.errors import BenchError
from benchmark.randomness import Randomness

BUDGETS = {"linf": st.floats(0.25, 300), "l2": st.floats(0.25, 300), "l0": st.integers(0, 40).map(float)}


@st.composite
def pairs(draw_from: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Images, some at the faces of the box, and points anywhere around them."""
    generator = torch.Generator().manual_seed(draw_from(st.integers(0, 10_000)))
    shape = (4, draw_from(st.sampled_from((1, 3))), 5, 6)
    images = (1.4 * torch.rand(shape, generator=generator) - 0.2).clamp(0, 1)
    spread = draw_from(st.sampled_from((0.0, 0.05, 0.5, 3.0)))
    return images, images + spread * torch.randn(shape, generator=generator)


@pytest.mark.parametrize("norm", ["linf", "l2", "l0"])
@given(case=pairs(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_projection_lies_in_ball_and_box_and_projecting_again_moves_nothing(norm, case, data):
    images, points = case
    eps_255 = data.draw(BUDGETS[norm])
    found = project(points, images, norm, eps_255)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (distance(found, images, norm) <= eps_255 + 255e-6).all()
    assert torch.allclose(project(found, images, norm, eps_255), found, atol=1e-6)


@given(case=pairs(), eps_255=st.floats(1, 200))
@settings(max_examples=40, deadline=None)
def test_no_point_of_ball_and_box_is_nearer_than_the_l2_projection(case, eps_255):
    """The variational inequality of a projection onto a convex set: <y - p, q - p> <= 0 for each of its points q."""
    images, points = (x.double() for x in case)
    found = project(points, images, "l2", eps_255)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = images + 10 * torch.randn(images.shape, generator=generator).double()
        other = project(other, images, "l2", eps_255)
        assert (((points - found) * (other - found)).flatten(1).sum(dim=1) <= 1e-9).all()


def test_what_is_inside_already_stays_bit_for_bit():
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    for norm, eps_255 in (("linf", 8.0), ("l2", 8.0), ("l0", 16.0)):
        assert torch.equal(project(images, images, norm, eps_255), images)


def test_l0_keeps_the_pixels_of_largest_change_with_all_their_channels():
    images = torch.zeros(1, 3, 2, 2)
    points = torch.tensor([[[0.9, 0.1], [0.0, 0.5]], [[0.0, 0.1], [0.0, 0.5]], [[0.0, 0.1], [0.2, 0.5]]])[None]
    found = project(points, images, "l0", 2)
    assert torch.equal(found[0, :, 0, 0], points[0, :, 0, 0])
    assert torch.equal(found[0, :, 1, 1], points[0, :, 1, 1])
    assert distance(found, images, "l0").tolist() == [2]


def test_one_number_means_the_same_change_per_component_for_every_size():
    for shape in ((1, 4, 4), (3, 16, 8)):
        images = torch.full((1, *shape), 0.5)
        assert distance(images + 8 / 255, images, "l2").item() == pytest.approx(8, rel=1e-4)
        assert distance(images + 8 / 255, images, "linf").item() == pytest.approx(8, rel=1e-4)
        assert radius("l2", 8, shape) == pytest.approx(8 / 255 * math.sqrt(math.prod(shape)))
        assert radius("linf", 8, shape) == 8 / 255
    assert radius("l0", 5, (3, 4, 4)) == 5


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_step_has_its_length_and_gains_more_than_any_other_of_that_length(norm):
    generator = torch.Generator().manual_seed(2)
    gradient = torch.randn(5, 3, 4, 4, generator=generator)
    moved = step(gradient, norm, 3.0)
    zeros = torch.zeros_like(gradient)
    assert torch.allclose(distance(moved, zeros, norm), torch.full((5,), 3.0), rtol=1e-4)
    for _ in range(50):
        other = step(torch.randn(gradient.shape, generator=generator), norm, 3.0)
        assert ((gradient * (moved - other)).flatten(1).sum(dim=1) > 0).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_step_stays_finite_for_vanishing_huge_and_missing_gradients(norm):
    gradient = torch.stack([torch.full((1, 2, 2), v) for v in (0.0, 1e-30, 1e30, torch.nan, torch.inf)])
    moved = step(gradient, norm, torch.arange(5.0))
    assert moved.isfinite().all()
    assert torch.equal(moved[[0, 3]], torch.zeros(2, 1, 2, 2))
    assert distance(moved, torch.zeros_like(moved), norm)[[1, 2, 4]].tolist() == pytest.approx([1, 2, 4], rel=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_random_start_spreads_over_the_ball(norm):
    images = torch.full((200, 1, 4, 4), 0.5)
    share = distance(random_start(images, norm, 8.0, Randomness(range(200))), images, norm) / 8
    assert share.max() <= 1 + 1e-5
    assert share.max() - share.min() > (0.9 if norm == "l2" else 0.1)


def test_the_fill_reaches_its_target_or_says_that_it_cannot():
    generator = torch.Generator().manual_seed(3)
    size, room = torch.rand(2, 30, 12, generator=generator).double()
    target = 6 * torch.rand(30, generator=generator).double()
    scale = fill(size.square(), size, room, target, power=2)
    possible = room.square().sum(dim=1)
    assert torch.equal(scale.isinf(), possible < target)
    reached = torch.minimum(scale[:, None] * size, room).square().sum(dim=1)
    assert torch.allclose(reached, torch.minimum(target, possible))


def test_an_unknown_norm_is_named_with_the_near_miss():
    with pytest.raises(BenchError, match="Did you mean 'linf'"):
        radius("l_inf", 8, (1, 2, 2))
    with pytest.raises(BenchError, match="not 'l0'"):
        step(torch.ones(1, 1, 2, 2), "l0", 1.0)
