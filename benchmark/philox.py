"""Philox4x32-10 (Salmon et al., SC 2011): random bits that are a function of a key and a place, for many keys at once.

A generator with a state has to be set up for each image and each copy of a vote, one after another. Here a batch's
numbers are some hundred operations on whole tensors, on whatever device, and the same bits everywhere.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
import torch
from torch import Tensor

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = 0xFFFFFFFF

Words = Any
"""An array of words."""

WORDS = 4
"""Numbers of 32 bits in a block."""


def rounds(key: tuple[Words, Words], counter: tuple[Words, Words, Words, Words]) -> list[Words]:
    """Random words, four for each key and counter; arrays of int64 in [0, 2**32) that broadcast, NumPy's or torch's."""
    low, high = key
    first, second, third, fourth = counter
    for turn in range(_ROUNDS):
        left, right = first * _MULTIPLIERS[0], third * _MULTIPLIERS[1]
        first, second = (right >> 32 & _LOW) ^ second ^ (low + turn * _WEYL[0] & _LOW), right & _LOW
        third, fourth = (left >> 32 & _LOW) ^ fourth ^ (high + turn * _WEYL[1] & _LOW), left & _LOW
    return [first, second, third, fourth]


def words(seeds: Sequence[int], starts: Sequence[int], count: int, device: torch.device) -> Tensor:
    """The next words of several streams.

    Args:
        seeds: one key in [0, 2**64) per stream.
        starts: the block at which each goes on.
        count: words wanted of each.
        device: where.

    Returns:
        (streams, count) int64 in [0, 2**32).
    """
    wanted = -(-count // WORDS)
    keys = np.array(seeds, dtype=np.uint64).reshape(-1, 1)
    places = np.array(starts, dtype=np.int64).reshape(-1, 1) + np.arange(wanted)
    low, high = (keys & np.uint64(_LOW)).astype(np.int64), (keys >> np.uint64(32)).astype(np.int64)
    zero = np.zeros((1, 1), dtype=np.int64)
    parts = (low, high, places & _LOW, places >> 32, zero, zero)
    if device.type == "cpu":
        # A draw is often a few numbers: NumPy takes a fifth of torch's time to begin an operation.
        drawn = torch.from_numpy(np.stack(rounds(parts[:2], parts[2:]), axis=-1))
    else:
        there = [torch.from_numpy(part).to(device) for part in parts]
        drawn = torch.stack(rounds((there[0], there[1]), (there[2], there[3], there[4], there[5])), dim=-1)
    return drawn.reshape(len(seeds), wanted * WORDS)[:, :count]


def as_uniform(drawn: Tensor) -> Tensor:
    """Words as float32 in [0, 1): 24 bits each."""
    return (drawn >> 8).to(torch.float32) * 2.0**-24


def as_normal(drawn: Tensor) -> Tensor:
    """An even number of words (streams, 2 m) as standard normal numbers, float32, by Box and Muller's transform."""
    # In double precision, so that devices differ in no more than a rounding.
    pairs = drawn.reshape(len(drawn), drawn.shape[1] // 2, 2).to(torch.float64)
    radius = (-2 * ((pairs[..., 0] + 1) * 2.0**-32).log()).sqrt()
    angle = 2 * math.pi * 2.0**-32 * pairs[..., 1]
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1).flatten(1).to(torch.float32)


def as_poisson(drawn: Tensor, rates: Tensor) -> Tensor:
    """Words as Poisson counts for rates of the same shape, by the inverse of their distribution; of the rates' type."""
    chances = ((drawn.to(torch.float64) + 0.5) * 2.0**-32).cpu().numpy()
    counts = scipy.stats.poisson.ppf(chances, rates.to(torch.float64).cpu().numpy())
    return torch.from_numpy(np.nan_to_num(counts)).to(rates)
