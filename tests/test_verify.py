"""What is checked of adversarial images before they count."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.attacks.norms import distance
from benchmark.errors import BenchError
from benchmark.verify import verify


def grey(count=2):
    return torch.full((count, 1, 4, 4), 0.5)


def test_a_candidate_inside_the_ball_is_left_as_it_is():
    images = torch.rand(3, 1, 4, 4)
    candidates = (images + 3 / 255 * torch.rand(3, 1, 4, 4)).clamp(0, 1)
    checked = verify(candidates, images, "linf", 4)
    torch.testing.assert_close(checked.images, candidates, rtol=0, atol=0)
    assert checked.notes == ("", "", "")
    assert not checked.rejected.any()


def test_what_lies_beyond_the_ball_is_projected_and_noted_image_by_image():
    candidates = grey()
    candidates[1, 0, 0, 0] += 10 / 255
    checked = verify(candidates, grey(), "linf", 8)
    assert checked.notes[0] == ""
    assert checked.notes[1] == "projected: 2/255 beyond the ball"
    assert float(checked.images[1, 0, 0, 0]) == pytest.approx(0.5 + 8 / 255)


def test_what_lies_beyond_the_range_of_images_is_clipped_and_noted():
    images = torch.ones(1, 1, 4, 4)
    checked = verify(images + 4 / 255, images, "linf", 8)
    assert checked.notes == ("projected: 4/255 beyond [0, 1]",)
    assert float(checked.images.max()) == 1


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_candidate_that_is_not_finite_is_rejected_and_the_clean_image_stands_in(value):
    candidates = grey()
    candidates[0, 0, 2, 2] = value
    checked = verify(candidates, grey(), "linf", 8)
    assert checked.rejected.tolist() == [True, False]
    assert checked.notes == ("rejected: not finite", "")
    torch.testing.assert_close(checked.images, grey(), rtol=0, atol=0)


def test_a_rounding_at_the_edge_is_not_worth_a_note():
    images = torch.full((1, 1, 1, 1), 0.1)
    assert verify(images + 8 / 255 + 5e-7, images, "linf", 8).notes == ("",)


@pytest.mark.parametrize("spoil", [lambda x: x[:1], lambda x: x.double(), lambda x: x[..., :3]])
def test_another_shape_or_type_is_an_error(spoil):
    with pytest.raises(ValueError, match="the attack returned"):
        verify(spoil(grey()), grey(), "linf", 8)


def test_an_unknown_norm_is_an_error():
    with pytest.raises(BenchError, match="Unknown norm 'l7'"):
        verify(grey(), grey(), "l7", 8)


def test_distances_are_those_of_the_image_that_is_judged():
    candidates = grey()
    candidates[0] += 100 / 255
    candidates[1, 0, 0, 0] += 4 / 255
    checked = verify(candidates, grey(), "linf", 8)
    assert checked.linf.tolist() == pytest.approx([8 / 255, 4 / 255], abs=1e-6)
    assert checked.l2.tolist() == pytest.approx([8 / 255 * 4, 4 / 255], abs=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2", "l0"])
@given(seed=st.integers(0, 10_000), eps=st.floats(0.1, 64), reach=st.floats(0, 3))
def test_whatever_is_offered_what_is_judged_is_an_image_inside_the_ball(norm, seed, eps, reach):
    draw = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, 4, 4, generator=draw)
    candidates = images + reach * torch.randn(2, 3, 4, 4, generator=draw)
    checked = verify(candidates, images, norm, eps)
    assert (distance(checked.images, images, norm) <= eps * (1 + 1e-5) + 3e-4).all()
    assert 0 <= float(checked.images.min()) <= float(checked.images.max()) <= 1


def test_an_image_that_changes_more_pixels_than_allowed_keeps_those_of_the_largest_change():
    candidates = grey(1)
    candidates[0, 0, 1] = torch.tensor([0.6, 0.9, 0.2, 0.51])
    checked = verify(candidates, grey(1), "l0", 2)
    assert checked.notes == ("projected: 2 pixels beyond the ball",)
    assert checked.pixels.tolist() == [2]
    assert checked.images[0, 0, 1].tolist() == pytest.approx([0.5, 0.9, 0.2, 0.5])


def test_an_l2_budget_is_a_root_mean_square_so_that_one_number_fits_every_size():
    for side in (4, 16):
        images = torch.full((1, 1, side, side), 0.5)
        assert verify(images + 8 / 255, images, "l2", 8).notes == ("",)
        assert verify(images + 10 / 255, images, "l2", 8).notes == ("projected: 2/255 beyond the ball",)
