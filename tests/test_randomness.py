"""Randomness that belongs to an image."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmark.randomness import Randomness, content_seed


@pytest.fixture(params=["mersenne", "philox"], scope="module")
def streams(request):
    """Every promise here holds for either kind of stream."""
    return request.param


SEEDS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=6)


def test_a_content_seed_is_fixed_for_all_time():
    """A changed hash would change every random number of every official row."""
    assert content_seed("synthetic_cxr", "test-00001", "pgd", [("steps", 20)], "linf", "8") == 2806553784895426342


@given(parts=st.lists(st.one_of(st.text(max_size=5), st.integers()), max_size=4))
def test_a_content_seed_lies_in_the_range_that_generators_and_columns_take(parts):
    seed = content_seed(*parts)
    assert 0 <= seed < 2**63
    assert seed == content_seed(*parts)


def test_parts_are_kept_apart():
    assert content_seed("ab", "c") != content_seed("a", "bc")


@given(seeds=SEEDS, data=st.data())
def test_an_image_draws_the_same_numbers_in_any_batch_and_order(streams, seeds, data):
    order = data.draw(st.permutations(range(len(seeds))))
    together = Randomness(seeds, streams=streams).normal((2, 3))
    shuffled = Randomness([seeds[i] for i in order], streams=streams).normal((2, 3))
    assert torch.equal(shuffled, together[list(order)])
    assert torch.equal(Randomness(seeds[:1], streams=streams).normal((2, 3)), together[:1])


@given(seeds=SEEDS)
def test_taken_streams_go_on_where_the_whole_stands_and_the_whole_where_they_stopped(streams, seeds):
    whole, reference = Randomness(seeds, streams=streams), Randomness(seeds, streams=streams)
    whole.uniform((3,))
    last = [len(seeds) - 1]
    parts = [whole.uniform((2,)), whole.take(last).uniform((2,)), whole.take(torch.tensor(last)).uniform((2,))]
    reference.uniform((3,))
    expected = [reference.uniform((2,)) for _ in range(3)]
    assert torch.equal(parts[0], expected[0])
    assert torch.equal(parts[1], expected[1][last])
    assert torch.equal(parts[2], expected[2][last])


@given(seeds=SEEDS)
def test_a_fork_does_not_depend_on_what_was_drawn_before(streams, seeds):
    fresh, used = Randomness(seeds, streams=streams), Randomness(seeds, streams=streams)
    used.normal((7,))
    assert torch.equal(fresh.fork("judge", 1).uniform((4,)), used.fork("judge", 1).uniform((4,)))
    assert not torch.equal(fresh.fork("judge", 1).uniform((4,)), fresh.fork("judge", 2).uniform((4,)))


def test_restarted_streams_begin_again(streams):
    draw = Randomness([1, 2], streams=streams)
    first = draw.uniform((5,))
    assert torch.equal(draw.restarted().uniform((5,)), first)
    assert not torch.equal(draw.uniform((5,)), first)


def test_copies_are_neighbouring_rows_that_differ(streams):
    drawn = Randomness([4, 5], streams=streams).repeated(3).uniform((2,))
    assert drawn.shape == (6, 2)
    assert len({tuple(row) for row in drawn.tolist()}) == 6
    assert torch.equal(drawn[3:], Randomness([5], copies=3, streams=streams).uniform((2,)))


def test_a_numbered_copy_is_the_same_whichever_others_are_drawn(streams):
    some = Randomness([4, 5], streams=streams).copies_of(range(2, 5)).normal((20,))
    single = Randomness([5], streams=streams).copies_of([3]).normal((20,))
    assert some.shape == (6, 20)
    assert torch.equal(some[4], single[0])
    assert len(some.unique(dim=0)) == 6


def test_no_images_draw_nothing(streams):
    draw = Randomness([], streams=streams)
    assert draw.uniform((3,)).shape == (0, 3)
    assert draw.normal((3,)).shape == (0, 3)
    assert draw.poisson(torch.ones(0, 3)).shape == (0, 3)


def test_the_global_generator_is_left_alone(streams):
    before = torch.get_rng_state()
    draw = Randomness([1, 2], streams=streams)
    draw.uniform((3,)), draw.normal((3,)), draw.poisson(torch.ones(2, 3))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [
        (lambda r: r.uniform((4000,), -1, 3), stats.uniform(-1, 4)),
        (lambda r: r.normal((4000,), 2.0), stats.norm(0, 2)),
    ],
)
def test_draws_follow_their_distribution(streams, draw, distribution):
    assert stats.kstest(draw(Randomness([11], streams=streams)).flatten().numpy(), distribution.cdf).pvalue > 1e-3


def test_poisson_counts_have_the_mean_and_variance_of_their_rate(streams):
    counts = Randomness([3], streams=streams).poisson(torch.full((1, 20_000), 6.0))
    assert float(counts.mean()) == pytest.approx(6, abs=0.1)
    assert float(counts.var()) == pytest.approx(6, abs=0.3)
