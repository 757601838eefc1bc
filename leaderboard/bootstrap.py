"""95 % bootstrap intervals, clustered by patient and the same on every machine.

Whole groups (patients) are drawn with replacement, so that several images of one patient do not pretend to be
independent evidence. The draws depend on the set of groups alone: two entries judged on the same images share the same
resamples, and the difference between them is a paired one.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 1000
LEVEL = (2.5, 97.5)
_BLOCK = 100


class Bootstrap:
    """Resamples of the groups behind n images.

    Args:
        groups: group of each image, length n; images of one group are drawn together.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        unique, inverse = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        digest = hashlib.sha256("\x1f".join(unique.tolist()).encode()).digest()
        generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "big")))
        self.images = len(inverse)
        self._inverse = inverse
        self._groups = len(unique)
        chosen = np.full(self._groups, 1.0 / max(self._groups, 1))
        self._counts = generator.multinomial(self._groups, chosen, size=RESAMPLES).astype(np.uint16)

    def sums(self, values: Floats) -> Floats:
        """Sum per-image values of shape (n, k) over each resample: shape (RESAMPLES, k)."""
        per_group = np.zeros((self._groups, values.shape[1]))
        np.add.at(per_group, self._inverse, values)
        return np.concatenate(
            [self._counts[i : i + _BLOCK].astype(np.float64) @ per_group for i in range(0, RESAMPLES, _BLOCK)]
        )

    def weights(self) -> list[Floats]:
        """Return how often each image occurs in each resample, in blocks of shape (at most 100, n)."""
        blocks = (self._counts[i : i + _BLOCK] for i in range(0, RESAMPLES, _BLOCK))
        return [block[:, self._inverse].astype(np.float64) for block in blocks]

    def ratios(self, above: Floats, below: Floats) -> Floats:
        """Resample sum(above) / sum(below), both (n, k): shape (RESAMPLES, k), NaN where a resample holds nothing."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.sums(above) / self.sums(below), dtype=np.float64)

    def means(self, values: Floats) -> Floats:
        """Resample the mean of per-image values (n, k): shape (RESAMPLES, k)."""
        return self.ratios(values, np.ones_like(values))


def interval(resampled: Floats) -> tuple[Floats, Floats]:
    """Return the 2.5th and 97.5th percentile over axis 0, leaving out resamples without a value."""
    if np.isfinite(resampled).all():
        low, high = np.percentile(resampled, LEVEL, axis=0)
    else:
        masked = np.where(np.isfinite(resampled), resampled, np.nan)
        some = np.isfinite(masked).any(axis=0)
        low, high = np.full((2, *resampled.shape[1:]), np.nan)
        if some.any():
            low[some], high[some] = np.nanpercentile(masked[:, some], LEVEL, axis=0)
    return low, high


@lru_cache(maxsize=16)
def _cached(groups: tuple[str, ...]) -> Bootstrap:
    return Bootstrap(groups)


def bootstrap(groups: Sequence[str]) -> Bootstrap:
    """Return the resamples for these groups, made once per process."""
    return _cached(tuple(groups))
