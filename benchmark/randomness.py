"""Randomness that belongs to an image, not to a batch, a process or a moment.

Every seed is a hash of what it stands for (data set, sample, attack, purpose ...). Two runs that split the same
images over other batches, workers or orders therefore draw the same numbers for each image.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from benchmark import philox
from benchmark.streams import Streams


def content_seed(*parts: object) -> int:
    """Hash the parts' texts into a seed in [0, 2**63)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Randomness:
    """One random stream per image of a batch.

    A CUDA run draws what a CPU run draws: from "mersenne" streams on the CPU, image by image, from "philox" streams on
    the device, all at once.
    With ``copies`` = n each image stands for n neighbouring rows of the batch (rows ``i*n ... i*n+n-1``), as in a vote.

    Args:
        seeds: one seed per image, usually from :func:`content_seed`.
        device: where drawn tensors are put.
        copies: rows per image.
        streams: what numbers come from.
    """

    def __init__(
        self,
        seeds: Iterable[int],
        device: torch.device | str = "cpu",
        copies: int = 1,
        streams: Streams = "mersenne",
    ) -> None:
        self.seeds = [int(seed) for seed in seeds]
        self.device = torch.device(device)
        self.copies = copies
        self.streams = streams
        # One box per image, shared with the parts that take() hands out and filled at the first draw.
        self._boxes: list[list[torch.Generator]] = [[] for _ in self.seeds]
        self._places: list[list[int]] = [[0] for _ in self.seeds]

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def rows(self) -> int:
        """Number of batch rows that a draw covers."""
        return len(self.seeds) * self.copies

    def _generator(self, image: int) -> torch.Generator:
        box = self._boxes[image]
        if not box:
            box.append(torch.Generator().manual_seed(self.seeds[image]))
        return box[0]

    def _words(self, count: int) -> Tensor:
        """The next words (images, count) of the Philox streams."""
        starts = []
        for place in self._places:
            starts.append(place[0])
            place[0] += -(-count // philox.WORDS)
        return philox.words(self.seeds, starts, count, self.device)

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw U[low, high) of shape (rows, *shape), float32."""
        if self.streams == "philox":
            drawn = philox.as_uniform(self._words(self.copies * math.prod(shape)))
            return (low + (high - low) * drawn).reshape(self.rows, *shape)
        drawn = torch.empty(len(self), self.copies, *shape)
        for image in range(len(self)):
            drawn[image].uniform_(low, high, generator=self._generator(image))
        return drawn.flatten(0, 1).to(self.device)

    def normal(self, shape: Sequence[int], std: float = 1.0) -> Tensor:
        """Draw N(0, std**2) of shape (rows, *shape), float32."""
        if self.streams == "philox":
            count = self.copies * math.prod(shape)
            drawn = philox.as_normal(self._words(count + count % 2))[:, :count]
            return std * drawn.reshape(self.rows, *shape)
        drawn = torch.empty(len(self), self.copies, *shape)
        for image in range(len(self)):
            drawn[image].normal_(0.0, std, generator=self._generator(image))
        return drawn.flatten(0, 1).to(self.device)

    def poisson(self, rates: Tensor) -> Tensor:
        """Draw Poisson counts for ``rates`` of shape (rows, ...), same shape."""
        if self.streams == "philox":
            return philox.as_poisson(self._words(rates.numel() // max(1, len(self))).reshape(rates.shape), rates)
        per_image = rates.cpu().reshape(len(self), self.copies, *rates.shape[1:])
        drawn = [torch.poisson(rate, generator=self._generator(i)) for i, rate in enumerate(per_image)]
        return (torch.stack(drawn) if drawn else per_image).flatten(0, 1).to(self.device)

    def take(self, images: Tensor | Sequence[int]) -> "Randomness":
        """Return the streams of some images; they go on where they stand and stay shared with this object."""
        index = images.tolist() if isinstance(images, Tensor) else list(images)
        part = Randomness([self.seeds[i] for i in index], self.device, self.copies, self.streams)
        part._boxes = [self._boxes[i] for i in index]
        part._places = [self._places[i] for i in index]
        return part

    def fork(self, *purpose: object) -> "Randomness":
        """Return fresh streams for a purpose; they do not depend on what was drawn before."""
        return Randomness([content_seed(seed, *purpose) for seed in self.seeds], self.device, self.copies, self.streams)

    def restarted(self) -> "Randomness":
        """Return the same streams from their very start."""
        return Randomness(self.seeds, self.device, self.copies, self.streams)

    def seeded(self, seeds: Iterable[int]) -> "Randomness":
        """Return streams of other seeds, of the same kind and on the same device."""
        return Randomness(seeds, self.device, streams=self.streams)

    def copies_of(self, copies: Iterable[int]) -> "Randomness":
        """Return a fresh stream for each numbered copy of each image, copies of an image side by side.

        A copy's stream does not depend on which others are asked for, so that a vote may stop and go on.
        """
        numbers = list(copies)
        seeds = (content_seed(seed, "copy", number) for seed in self.seeds for number in numbers)
        return self.seeded(seeds)

    def repeated(self, copies: int) -> "Randomness":
        """Return these streams, each serving ``copies`` neighbouring rows."""
        part = self.take(range(len(self)))
        part.copies = copies
        return part
