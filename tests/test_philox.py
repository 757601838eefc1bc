"""The counter-based generator against the known answers of its authors, and what its numbers are made of."""

import numpy as np
import pytest
import torch
from scipy import stats

from benchmark import philox

ONES = 0xFFFFFFFF

KNOWN = [
    ((0, 0), (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES), (ONES, ONES, ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0xA4093822, 0x299F31D0),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
"""Key, counter and words of philox4x32-10 in the known-answer tests of Random123."""


@pytest.mark.parametrize("kind", [torch.tensor, lambda word: np.array([word])], ids=["torch", "numpy"])
@pytest.mark.parametrize(("key", "counter", "words"), KNOWN)
def test_words_are_those_of_the_known_answers(key, counter, words, kind):
    keys, counters = (tuple(kind(word) for word in part) for part in (key, counter))
    assert tuple(int(np.asarray(word).item()) for word in philox.rounds(keys, counters)) == words


def test_a_stream_goes_on_at_any_block():
    whole = philox.words([5, 1 << 62], [0, 0], 40, torch.device("cpu"))
    later = philox.words([1 << 62, 5], [3, 7], 9, torch.device("cpu"))
    assert torch.equal(later[0], whole[1, 12:21])
    assert torch.equal(later[1], whole[0, 28:37])


def test_streams_go_on_beyond_32_bits_of_blocks():
    beyond = philox.words([1, 1], [1 << 32, 0], 4, torch.device("cpu"))
    assert not torch.equal(beyond[0], beyond[1])


def test_uniform_numbers_reach_neither_below_0_nor_1():
    ends = philox.as_uniform(torch.tensor([0, ONES]))
    assert ends.tolist() == [0.0, 1 - 2.0**-24]


def test_normal_numbers_are_finite_at_the_ends_of_the_words():
    ends = torch.tensor([[0, 0, ONES, ONES, 0, ONES, ONES, 0]])
    assert bool(philox.as_normal(ends).isfinite().all())


def test_normal_numbers_of_two_neighbours_have_nothing_in_common():
    drawn = philox.as_normal(philox.words([3], [0], 40_000, torch.device("cpu")))[0]
    assert abs(float(stats.pearsonr(drawn[0::2].numpy(), drawn[1::2].numpy()).statistic)) < 0.03


@pytest.mark.parametrize("rate", [0.3, 6.0, 200.0])
def test_poisson_counts_follow_their_distribution(rate):
    words = philox.words([9], [0], 20_000, torch.device("cpu"))[0]
    counts = philox.as_poisson(words, torch.full((20_000,), rate))
    assert float(counts.mean()) == pytest.approx(rate, rel=0.03)
    assert float(counts.var()) == pytest.approx(rate, rel=0.05)


def test_no_counts_at_a_rate_of_0():
    words = philox.words([9], [0], 8, torch.device("cpu"))[0]
    assert philox.as_poisson(words, torch.zeros(8)).tolist() == [0.0] * 8
