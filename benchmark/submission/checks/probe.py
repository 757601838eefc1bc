"""The defense under test, with images, draws and a guard around the global random generators."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.data.card import Card
from benchmark.data.registry import load_split
from benchmark.data.split import Split
from benchmark.defense import Decision, Defense
from benchmark.errors import BenchError
from benchmark.randomness import Randomness, content_seed
from benchmark.root import Root
from benchmark.submission.building import BuildPlan, build
from benchmark.task.build import task_of

IMAGES = 6
"""Images of the test split that a defense is tried on; a black and a white one are added."""

LABELLED = 128
"""Validation images, classes in equal shares, on which a classifier must beat a guess."""


@dataclass(frozen=True)
class Sample:
    """Images to try a defense on.

    Attributes:
        images: (N, C, H, W) float32 in [0, 1].
        source: what they are, in words.
        labelled: validation images and labels, or None where there are none here.
        why_unlabelled: the reason for None.
    """

    images: Tensor
    source: str
    labelled: tuple[Tensor, Tensor] | None
    why_unlabelled: str = ""


def sample(card: Card, root: Root, data_dir: Path | None) -> Sample:
    """Take real images where the data set is here, else random ones of the card's size."""
    shape = card.shape
    corners = torch.stack([torch.zeros(shape), torch.ones(shape)])
    try:
        test = load_split(card, "test", root, data_dir)
        validation = load_split(card, "val", root, data_dir) if card.splits.val else None
    except BenchError as error:
        draw = Randomness(content_seed("contract", card.name, image) for image in range(IMAGES))
        source = f"{IMAGES} random images, because the data set cannot be loaded, one black and one white"
        return Sample(torch.cat([draw.uniform(shape), corners]), source, None, str(error))
    step = max(1, len(test) // IMAGES)
    images = torch.cat([test.pixels[::step][:IMAGES], corners])
    labelled = None if validation is None else _balanced(validation)
    why = "" if labelled else "the data set has no validation images"
    return Sample(images, f"{IMAGES} images of the test split, one black and one white", labelled, why)


def _balanced(split: Split) -> tuple[Tensor, Tensor]:
    strata = torch.tensor(task_of(split).strata(split.labels))
    groups = sorted(set(strata.tolist()))
    share = max(1, LABELLED // len(groups))
    places = torch.cat([(strata == group).nonzero()[:share, 0] for group in groups])
    return split.pixels[places], split.labels[places]


@dataclass(frozen=True)
class Declared:
    """What a manifest says of its defense: whether it is random, and whether it has a gradient."""

    stochastic: bool
    gradient: bool


@dataclass(frozen=True)
class GlobalState:
    """States of the global generators of torch, numpy and Python."""

    torch: bytes
    numpy: int
    python: int

    @staticmethod
    def now() -> "GlobalState":
        """Read the states; nothing is drawn."""
        numpy_state: dict[str, Any] = dict(np.random.get_state(legacy=False))
        key, position = numpy_state["state"]["key"], numpy_state["state"]["pos"]
        return GlobalState(
            torch.get_rng_state().numpy().tobytes(), hash((key.tobytes(), position)), hash(random.getstate())
        )

    def differs(self, other: "GlobalState") -> str:
        """Name the first generator whose state differs, or return an empty string."""
        names = {"torch": "torch's", "numpy": "numpy's", "python": "Python's"}
        return next((words for name, words in names.items() if getattr(self, name) != getattr(other, name)), "")


def seed_everything(seed: int) -> None:
    """Seed the global generators, to see whether a defense listens to them."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


class Probe:
    """A freshly built defense and what checks ask of it; every call gets its own copy of the images.

    Args:
        plan: how the defense is built.
        declared: what its manifest says of it.
        sample: what to try it on.

    Raises:
        BenchError: the defense cannot be built.
    """

    def __init__(self, plan: BuildPlan, declared: Declared, sample: Sample) -> None:
        self.plan = plan
        self.declared = declared
        self.sample = sample
        self.classes = plan.num_classes
        seed_everything(1)
        self.defense = build(plan)[0]
        self.state_before = self.state()

    def state(self) -> dict[str, Tensor]:
        """A copy of all parameters and buffers."""
        return {name: value.detach().clone() for name, value in self.defense.state_dict().items()}

    def rebuild(self) -> Defense:
        """Build once more from other global seeds."""
        seed_everything(2)
        return build(self.plan)[0]

    def draw(self, number: int = 0) -> Randomness:
        """The ``number``-th draw, one stream per image."""
        return self.draw_for(len(self.sample.images), number)

    def draw_for(self, count: int, number: int = 0) -> Randomness:
        """The ``number``-th draw of any ``count`` images."""
        return Randomness(content_seed("contract", self.plan.dataset, image, number) for image in range(count))

    def predict(self, number: int = 0, order: Sequence[int] | None = None) -> Decision:
        """Decide on the images in some order; each image keeps its own stream wherever and however often it stands."""
        places = list(range(len(self.sample.images)) if order is None else order)
        return self.defense.predict(self.sample.images[places], self.draw(number).take(places).restarted())

    @cached_property
    def decision(self) -> Decision:
        """The decision of the first draw."""
        return self.predict()

    @cached_property
    def logits(self) -> Tensor:
        """The bare classifier's answer, (N, K) if it keeps its promise."""
        with torch.no_grad():
            answer: Tensor = self.defense.classifier(self.sample.images.clone())
        return answer

    @cached_property
    def twin_logits(self) -> Tensor:
        """The differentiable twin's answer on the first draw, (S, N, K) if it keeps its promise."""
        with torch.no_grad():
            return self.defense.adaptive_logits(self.sample.images.clone(), self.draw(), copies=2)

    @property
    def tolerance(self) -> float:
        """How far a probability may move when an image changes its place in a batch.

        Batched arithmetic rounds differently. In a vote that may tip single copies, each worth most at its first look.
        """
        vote = self.defense.vote
        return 1e-4 if vote is None else 2.0 / vote.looks[0] + 1e-4
