"""Differences and shares with their intervals, and the verdicts on claims."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

NORMAL = 1.96
"""Quantile of the standard normal at 97.5 %."""
CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "no significant difference"
VERDICTS = (CONFIRMED, REFUTED, UNDECIDED)


@dataclass(frozen=True)
class Contrast:
    """A difference or a share with its 95 % interval, in points; the claim says that it is above ``bar``."""

    value: float
    low: float
    high: float
    bar: float = 0.0
    form: str = "+.1f"

    @property
    def verdict(self) -> str:
        """The verdict on the claim."""
        return CONFIRMED if self.low > self.bar else REFUTED if self.high < self.bar else UNDECIDED

    def __str__(self) -> str:
        value, low, high = (format(number, self.form) for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def contrast(better: Sequence[int], worse: Sequence[int], slack: float = 0.0) -> Contrast:
    """Difference of two accuracies on the same images, each 0 or 1 per image, with Tango's score interval (1998).

    The interval is valid even if the two differ on few images or on none, where a bootstrap fails.

    Args:
        better, worse: correctness of the two defenses; the claim says that the first is better.
        slack: points by which the first may be below the second.
    """
    gained, lost = (np.subtract(better, worse) == side for side in (1, -1))
    count, up, down = len(better), int(gained.sum()), int(lost.sum())
    shift = np.linspace(-1, 1, 20001)[1:-1]
    linear = (2 * count - up + down) * shift - up - down
    root = np.sqrt(np.maximum(linear**2 + 8 * count * down * shift * (1 - shift), 0))
    variance = count * ((root - linear) / (2 * count) + shift * (1 - shift))
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = shift[np.nan_to_num(np.abs(up - down - count * shift) / np.sqrt(variance)) <= NORMAL]
    return Contrast(100 * (up - down) / count, 100 * float(inside.min()), 100 * float(inside.max()), -slack)


def share(hits: Sequence[int], bar: float = 0.0) -> Contrast:
    """A share in % with Wilson's interval."""
    low, high = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return Contrast(100 * sum(hits) / len(hits), 100 * float(low), 100 * float(high), bar, ".1f")


def kept_against_rest(right: Sequence[int], kept: Sequence[bool]) -> Contrast | None:
    """Accuracy on the kept images less accuracy on the others, with Newcombe's interval (1998, method 10).

    None if either group is empty.
    """
    parts = [[hit for hit, above in zip(right, kept, strict=True) if above == side] for side in (True, False)]
    if not all(parts):
        return None
    first, second = map(share, parts)
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Contrast(value, value - down, value + up)


def wrong_and_below(right: Sequence[int], kept: Sequence[bool]) -> Contrast | None:
    """Share of the incorrect predictions that are not kept, compared with one half; None if there are none."""
    below = [int(not above) for hit, above in zip(right, kept, strict=True) if not hit]
    return share(below, 50) if below else None


def costlier(first: Sequence[float], second: Sequence[float]) -> str:
    """Verdict on the claim that the first ratios are above the second, from their whole ranges."""
    return CONFIRMED if min(first) > max(second) else REFUTED if max(first) < min(second) else UNDECIDED
