"""The source papers' ablation tables, measured again on PneumoniaMNIST, in ``docs/ablations.md``.

Usage: ``python docs/ablations.py [--section NAME] [--write]``. The result of a finished section is kept in a JSON file,
so that an interrupted run goes on with the next one; other code of attacks, views and defenses, or of training, or
other weights begin another file. What a table is made of (this script) is not seen by this: ``--fresh`` runs the chosen
sections anew.

Every table has three attackers. The clean one does nothing. The non-adaptive one knows the bare classifier alone, as
MedRDF's figures read: its accuracy under PGD exceeds the clean one. The adaptive one attacks what is deployed, through
BPDA and EOT (Athalye et al. 2018).
"""

import argparse
import hashlib
import json
import math
import os
import statistics
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from benchmark.access import adaptive, white_box
from benchmark.attacks.pgd import Pgd
from benchmark.data.official import stratified_ids
from benchmark.data.registry import find_card, load_split, official_subset
from benchmark.data.split import Split
from benchmark.defense import Backward, Defense, Stage
from benchmark.defense.stages import (
    BinomialVote,
    BitDepth,
    GaussianNoise,
    GaussianSmoothing,
    Jpeg,
    MedianFilter,
    PoissonNoise,
    RandomResize,
    RandomRotation,
    SaltAndPepper,
    TotalVariation,
)
from benchmark.judge import Judge, Verdicts
from benchmark.randomness import Randomness, content_seed
from benchmark.root import Root
from benchmark.submission import find_entry
from benchmark.surrogates import surrogate_names
from benchmark.task import Classification
from benchmark.training import Recipe, read_recipe, train
from benchmark.training.methods import METHODS
from benchmark.training.recipe import TABLES
from benchmark.verify import verify

ROOT = Root(Path(__file__).resolve().parents[1])
DOCUMENT = ROOT.path / "docs" / "ablations.md"
OUTPUT = Path(tempfile.gettempdir()) / "medrobustbench-ablations"

DATASET = "pneumoniamnist"
ENTRIES = ("natural", "pgd_at")
IMAGES = 128
EPS_255 = 8.0
STEPS = 20
EOT = 10
JUDGE_DRAWS = 5
"""Draws of a random defense without a vote; a vote of 200 copies is one draw, for it hardly ever changes its mind."""
COPIES, ALPHA = 200, 0.001

NORMAL = 1.96
"""Quantile of the standard normal at 97.5 %."""
WIDEST = 100 * NORMAL * 0.5 / IMAGES**0.5

CLEAN, BLIND, AWARE = "clean", "non-adaptive", "adaptive"
ATTACKERS = (CLEAN, BLIND, AWARE)

Json = Any
"""What a JSON file can hold."""


class Bench:
    """Images of the official subset and everything that attacks and judges them.

    Args:
        images: how many, drawn by the benchmark's own stratified order.
    """

    def __init__(self, images: int = IMAGES) -> None:
        self.card = find_card(DATASET, ROOT)
        official = official_subset(self.card, load_split(self.card, "test", ROOT))
        self.split = official.by_ids(stratified_ids(official, images, []))
        self.task = Classification(len(self.card.classes))
        self.classifier = cache(self._classifier)
        self.blind = cache(self._blind)

    def _classifier(self, entry: str) -> torch.nn.Module:
        return find_entry(ROOT, entry).build(self.card).classifier

    def defense(self, entry: str, stages: Sequence[Stage] = (), vote: BinomialVote | None = None) -> Defense:
        """An entry's classifier behind stages and a vote."""
        return Defense(self.classifier(entry), self.task.num_classes, stages, vote)

    def _draw(self, *purpose: object) -> Randomness:
        return Randomness(content_seed(DATASET, name, "ablations", *purpose) for name in self.split.ids)

    def _blind(self, entry: str) -> Tensor:
        """Images (N, C, H, W) of the attacker that knows the bare classifier alone."""
        draw, (images, labels) = self._draw(entry, BLIND), (self.split.images, self.split.labels)
        view = white_box(self.defense(entry), draw.fork("view"))
        found = Pgd(steps=STEPS)(view, self.task, images, labels, EPS_255, draw)
        return verify(found, images, "linf", EPS_255).images

    def aware(self, entry: str, defense: Defense) -> Tensor:
        """Images (N, C, H, W) of the attacker that knows everything.

        It takes over what the non-adaptive one has found. Two attacks follow, each on the images that still stand: PGD
        on the cross-entropy through the backward passes that the stages declare, and on the margin through the
        identity. (For two classes margin and cross-entropy have gradients of one direction at every single draw.)
        """
        found = self.blind(entry).clone()
        attempts: list[tuple[str, Backward]] = [("cross_entropy", "declared"), ("margin", "identity")]
        for loss, backward in attempts:
            standing = self._judged(defense, found).right.nonzero().squeeze(1)
            if len(standing) == 0:
                break
            part = self.split.subset(standing.tolist())
            draw = self._draw(entry, AWARE, loss, backward).take(standing)
            view = adaptive(defense, draw.fork("view"), EOT, backward)
            candidates = Pgd(steps=STEPS, loss=loss)(view, self.task, part.images, part.labels, EPS_255, draw)
            found[standing] = verify(candidates, part.images, "linf", EPS_255).images
        return found

    def images_of(self, attacker: str, entry: str, defense: Defense) -> Tensor:
        """What an attacker hands in, (N, C, H, W)."""
        if attacker == CLEAN:
            return self.split.images
        return self.blind(entry) if attacker == BLIND else self.aware(entry, defense)

    def _judged(self, defense: Defense, images: Tensor) -> Verdicts:
        draws = JUDGE_DRAWS if defense.vote is None else 1
        purposes = [(DATASET, name, "ablations") for name in self.split.ids]
        return Judge(defense, self.task, draws, torch.device("cpu")).judge(images, self.split.labels, purposes)

    def measured(self, entry: str, defense: Defense, judged: Defense | None = None) -> dict[str, Json]:
        """Per attacker and image: whether the answer is right, whether there is none, and the score of a vote.

        Args:
            entry: whose classifier it is.
            defense: what is attacked.
            judged: what answers, where it is not the same.
        """
        found = {}
        for attacker in ATTACKERS:
            verdicts = self._judged(judged or defense, self.images_of(attacker, entry, defense))
            first = verdicts.first
            found[attacker] = {
                "right": verdicts.right.int().tolist(),
                "abstained": first.abstained.int().tolist(),
                "score": None if first.score is None else first.score.tolist(),
            }
        return found


@dataclass(frozen=True)
class Contrast:
    """A difference or a share with its 95 % interval, in points, and the bar that a claim says it is above."""

    value: float
    low: float
    high: float
    bar: float = 0.0
    form: str = "+.1f"

    @property
    def verdict(self) -> str:
        """What it says of the claim."""
        return "confirmed" if self.low > self.bar else "refuted" if self.high < self.bar else "not told apart"

    def __str__(self) -> str:
        value, low, high = (format(number, self.form) for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def contrast(better: Sequence[int], worse: Sequence[int], slack: float = 0.0) -> Contrast:
    """Difference of two accuracies on the same images, each 0 or 1 per image, with Tango's score interval (1998).

    It holds with few images on which the two differ, and with none, where a bootstrap has nothing to draw from.

    Args:
        better, worse: answers that a claim orders.
        slack: points by which the first may lie below the second.
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
    """Accuracy among the kept images less accuracy among the others, with Newcombe's interval (1998, method 10).

    None where there are none of either kind.
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
    """Share of the wrong answers that are not kept, held against one half; None where no answer is wrong."""
    below = [int(not above) for hit, above in zip(right, kept, strict=True) if not hit]
    return share(below, 50) if below else None


def percent(flags: Sequence[float | bool]) -> str:
    """A share in %; a dash where there is nothing to share."""
    return f"{100 * sum(flags) / len(flags):.1f}" if len(flags) else "–"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    cells = [header, ["---" for _ in header], *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


@dataclass(frozen=True)
class Claim:
    """An ordering that a paper states.

    Attributes:
        said: the claim, a sentence that begins after "claims".
        figures: the paper's own figures and their source.
        pairs: names of defenses, the one that it sets higher first.
        attackers: under whom.
        slack: points by which the first may lie below the second.
    """

    said: str
    figures: str
    pairs: tuple[tuple[str, str], ...]
    attackers: tuple[str, ...] = (BLIND, AWARE)
    slack: float = 0.0


def told(said: str, figures: str, found: Mapping[str, Sequence[tuple[str, Contrast]]]) -> str:
    """The line that a section begins with: a claim, and per circumstance what came of each of its parts."""
    lines = [f"- The paper claims {said} ({figures}). Here:"]
    for where, parts in found.items():
        verdicts = []
        for verdict in ("confirmed", "refuted", "not told apart"):
            named = [f"{name} {value}".strip() for name, value in parts if value.verdict == verdict]
            if named:
                verdicts.append(f"**{verdict}** ({'; '.join(named)})")
        lines.append(f"  - {where}: {', '.join(verdicts)}")
    return "\n".join(lines)


def tested(claim: Claim, measured: Mapping[str, Json], split: Split) -> str:
    """What came of a claim; ``measured`` has, for each entry and name, what :meth:`Bench.measured` returns."""
    found: dict[str, list[tuple[str, Contrast]]] = {}
    for entry, rows in measured.items():
        for attacker in claim.attackers:
            parts = found.setdefault(f"{entry}, {attacker}", [])
            for better, worse in claim.pairs:
                first, second = (rows[side][attacker]["right"] for side in (better, worse))
                marked = [side + (HOLLOW if hollow(rows[side], split) else "") for side in (better, worse)]
                parts.append((_named(claim, *marked), contrast(first, second, claim.slack)))
    return told(claim.said, claim.figures, found)


def _named(claim: Claim, better: str, worse: str) -> str:
    """A pair, without what all pairs have in common."""
    firsts, seconds = ({pair[side] for pair in claim.pairs} for side in (0, 1))
    if len(claim.pairs) == 1:
        return HOLLOW if better.endswith(HOLLOW) else ""
    return f"against {worse}" if len(firsts) == 1 else better if len(seconds) == 1 else f"{better} against {worse}"


HOLLOW = "†"
"""Marks a defense that knows fewer than half of the clean images of some class."""


def by_class(row: Mapping[str, Json], attacker: str, split: Split) -> list[float]:
    """Accuracy within each class, in %."""
    right = torch.tensor(row[attacker]["right"], dtype=torch.float64)
    return [100 * float(right[split.labels == label].mean()) for label in range(len(split.classes))]


def hollow(row: Mapping[str, Json], split: Split) -> bool:
    """Whether a defense knows fewer than half of the clean images of some class."""
    return min(by_class(row, CLEAN, split)) < 50


def _accuracies(row: Mapping[str, Json], split: Split) -> list[str]:
    """Cells under :data:`MEASURED`."""
    first, *others = (percent(row[attacker]["right"]) for attacker in ATTACKERS)
    classes = (" / ".join(f"{value:.0f}" for value in by_class(row, attacker, split)) for attacker in (CLEAN, AWARE))
    return [first + (HOLLOW if hollow(row, split) else ""), *others, *classes]


MEASURED = (*ATTACKERS, f"{CLEAN}, by class", f"{AWARE}, by class")


def _abstentions(row: Mapping[str, Json]) -> str:
    return " / ".join(percent(row[attacker]["abstained"]) for attacker in ATTACKERS)


def _beside(entry: str, values: Sequence[float]) -> str:
    """A paper's figures, beside the classifier that is trained as the paper's is."""
    return ", ".join(f"{value:.1f}" for value in values) if entry == "natural" else ""


# MedRDF, Tables III to V: noise and denoiser.

NOISES: dict[str, Callable[[], list[Stage]]] = {
    "no noise": lambda: [],
    "Gaussian": lambda: [GaussianNoise(0.1)],
    "salt and pepper": lambda: [SaltAndPepper(0.1)],
    "Poisson": lambda: [PoissonNoise(100)],
}
DENOISERS: dict[str, Callable[[], list[Stage]]] = {
    "none": lambda: [],
    "GS": lambda: [GaussianSmoothing()],
    "MF": lambda: [MedianFilter()],
}
MEDRDF_III = {
    "no noise, none": ((94.4, 0.0), (74.1, 0.0)),
    "no noise, GS": ((94.4, 0.0), (71.5, 1.1)),
    "no noise, MF": ((94.4, 0.0), (72.5, 15.1)),
    "Gaussian, none": ((28.8, 28.8), (44.6, 12.3)),
    "Gaussian, GS": ((94.8, 55.0), (67.9, 53.3)),
    "Gaussian, MF": ((94.2, 82.2), (70.9, 64.8)),
    "salt and pepper, none": ((65.4, 26.2), (68.5, 17.1)),
    "salt and pepper, GS": ((95.6, 64.2), (68.4, 56.0)),
    "salt and pepper, MF": ((91.2, 90.2), (69.0, 65.1)),
    "Poisson, none": ((32.4, 28.6), (58.9, 18.9)),
    "Poisson, GS": ((94.4, 62.8), (68.3, 55.0)),
    "Poisson, MF": ((92.2, 81.0), (69.4, 63.9)),
}
"""MedRDF, Table III (ResNet-18): natural accuracy and accuracy under PGD-20 at 8/255 in %, COVID-19 and DermaMNIST."""

BARE, CHOSEN = "no noise, none", "salt and pepper, MF"
NOISE_CLAIMS = (
    Claim(
        "that noise, denoiser and vote markedly improve the accuracy of the bare network under attack",
        "Table III, PGD-20, salt and pepper with median filter: 90.2 against 0.0 on COVID-19, 65.1 against 0.0 on "
        "DermaMNIST",
        ((CHOSEN, BARE),),
    ),
    Claim(
        "that the vote over noisy copies does this and not the denoiser alone",
        "Table III, PGD-20, with the median filter: 90.2 against 0.0 without noise on COVID-19, 65.1 against 15.1 on "
        "DermaMNIST",
        ((CHOSEN, "no noise, MF"),),
    ),
    Claim(
        "that the median filter is a better denoiser than Gaussian smoothing, and either better than none",
        "Table III, PGD-20, salt and pepper: 90.2, 64.2, 26.2 on COVID-19, 65.1, 56.0, 17.1 on DermaMNIST",
        ((CHOSEN, "salt and pepper, GS"), ("salt and pepper, GS", "salt and pepper, none")),
    ),
    Claim(
        "that salt and pepper is the noise to choose",
        "Table III, PGD-20, with the median filter, against Gaussian and Poisson: 90.2, 82.2, 81.0 on COVID-19, 65.1, "
        "64.8, 63.9 on DermaMNIST",
        ((CHOSEN, "Gaussian, MF"), (CHOSEN, "Poisson, MF")),
    ),
)


def run_noise(bench: Bench) -> Json:
    """Every noise with every denoiser; without noise all copies are equal, and there is no vote."""
    found: Json = {entry: {} for entry in ENTRIES}
    for entry in ENTRIES:
        for noise, noisy in NOISES.items():
            for denoiser, denoised in DENOISERS.items():
                vote = BinomialVote(COPIES, ALPHA) if noisy() else None
                defense = bench.defense(entry, [*noisy(), *denoised()], vote)
                found[entry][f"{noise}, {denoiser}"] = bench.measured(entry, defense)
    return found


def tell_noise(found: Json, split: Split) -> str:
    """Claims and table."""
    rows = [
        [
            entry,
            *name.split(", "),
            *_accuracies(row, split),
            _abstentions(row) if name.split(", ")[0] != "no noise" else "–",
        ]
        + [_beside(entry, values) for values in MEDRDF_III[name]]
        for entry, named in found.items()
        for name, row in named.items()
    ]
    header = ("classifier", "noise", "denoiser", *MEASURED, "abstained", "paper: COVID-19", "paper: DermaMNIST")
    return "\n".join([*(tested(claim, found, split) for claim in NOISE_CLAIMS), "", table(header, rows)])


# MedRDF, Table I: the level of the noise.

MEDRDF_I = {0.05: (93.4, 91.1), 0.1: (91.6, 91.2), 0.15: (77.4, 84.8), 0.2: (50.0, 59.6), 0.25: (45.8, 47.0)}
MEDRDF_I |= {0.3: (30.0, 44.2)}
"""MedRDF, Table I (ResNet-50, COVID-19): accuracy in % at eps 0 and under PGD-100 at 8/255, per level."""


def run_level(bench: Bench) -> Json:
    """Salt and pepper of each level, with the median filter."""
    return {
        entry: {
            f"{level:g}": bench.measured(
                entry, bench.defense(entry, [SaltAndPepper(level), MedianFilter()], BinomialVote(COPIES, ALPHA))
            )
            for level in MEDRDF_I
        }
        for entry in ENTRIES[:1]
    }


def tell_level(found: Json, split: Split) -> str:
    """Claim and table."""
    claims = (
        Claim(
            "that clean accuracy falls as the level of the noise rises",
            "Table I: 91.6 at level 0.1, 50.0 at 0.2, 30.0 at 0.3",
            (("0.1", "0.2"), ("0.2", "0.3")),
            (CLEAN,),
        ),
        Claim(
            "that the level 0.1 is the one for attacks at 8/255",
            "Table I, PGD-100 at 8/255: 91.2 at level 0.1, 91.1 at 0.05, 59.6 at 0.2",
            (("0.1", "0.05"), ("0.1", "0.2")),
        ),
    )
    rows = [
        [entry, level, *_accuracies(row, split), _abstentions(row), _beside(entry, MEDRDF_I[float(level)])]
        for entry, named in found.items()
        for level, row in named.items()
    ]
    header = ("classifier", "level", *MEASURED, "abstained", "paper: COVID-19")
    return "\n".join([*(tested(claim, found, split) for claim in claims), "", table(header, rows)])


# MedRDF, Table II: the number of copies.

FEW = 32
NUMBERS = (10, 100, 1000, 10000)
REPEATS = {10: 5, 100: 3, 1000: 1, 10000: 1}
"""Timings per number of copies, of which the median counts: short ones are the least certain."""
MEDRDF_II = {
    100: ((91.2, 92.2, 0.1), (68.9, 65.4, 0.1)),
    1000: ((91.2, 93.0, 1.1), (69.0, 67.0, 0.1)),
    10000: ((91.2, 93.2, 3.8), (69.0, 67.3, 1.1)),
}
"""MedRDF, Table II (ResNet-18): natural accuracy in %, PGD-7 in % and seconds per image, COVID-19 and DermaMNIST."""


def _polled(defense: Defense, images: Tensor, labels: Tensor, seeds: Sequence[int], repeats: int) -> Json:
    """Labels, copies and the median of processor seconds of a vote on (N, C, H, W) images."""
    seconds = []
    # A vote works out its table of counts when it is first asked, once and for all.
    defense.predict(images[:1], Randomness(seeds[:1]))
    for _ in range(repeats):
        start = time.process_time()
        decision = defense.predict(images, Randomness(seeds))
        seconds.append(time.process_time() - start)
    return {
        "label": decision.label.tolist(),
        "right": (decision.label == labels).int().tolist(),
        "abstained": decision.abstained.int().tolist(),
        "copies": float(decision.copies.float().mean()) if decision.copies is not None else 0.0,
        "seconds": statistics.median(seconds),
    }


def run_copies(bench: Bench) -> Json:
    """The full vote and the sequential one, one right after the other, on the same images and draws."""
    del bench
    few, (entry, *_) = Bench(FEW), ENTRIES
    stages = [SaltAndPepper(0.1), MedianFilter()]
    attacked = few.defense(entry, stages, BinomialVote(COPIES, ALPHA))
    seeds = [content_seed(DATASET, name, "ablations", "copies") for name in few.split.ids]
    found: Json = {}
    for attacker in ATTACKERS:
        images = few.images_of(attacker, entry, attacked)
        found[attacker] = {
            str(number): {
                kind: _polled(
                    few.defense(entry, stages, BinomialVote(number, ALPHA, sequential)),
                    images,
                    few.split.labels,
                    seeds,
                    REPEATS[number],
                )
                for kind, sequential in (("full", False), ("sequential", True))
            }
            for number in NUMBERS
        }
    return found


def tell_copies(found: Json, split: Split) -> str:
    """Claims and table."""
    del split
    most, fewest = str(NUMBERS[-1]), str(NUMBERS[1])
    full = {number: [found[attacker][number]["full"] for attacker in ATTACKERS] for number in (most, fewest)}
    early = [found[attacker][most]["sequential"] for attacker in ATTACKERS]
    gains = {
        attacker: [("", contrast(many["right"], some["right"]))]
        for attacker, many, some in zip(ATTACKERS, full[most], full[fewest], strict=True)
    }
    figures = (
        "Table II, PGD-7: 93.2 against 92.2 on COVID-19, 67.3 against 65.4 on DermaMNIST; clean: 91.2 against 91.2, "
        "69.0 against 68.9"
    )
    slower = [many["seconds"] / some["seconds"] for many, some in zip(full[most], full[fewest], strict=True)]
    faster = [many["seconds"] / few["seconds"] for many, few in zip(full[most], early, strict=True)]
    alike = [
        one == other
        for many, few in zip(full[most], early, strict=True)
        for one, other in zip(many["label"], few["label"], strict=True)
    ]
    lines = [
        told(f"that {most} copies give more accuracy than {fewest}", figures, gains),
        f"- The paper claims that the time per image grows with n (Table II: 38 and 11 times from {fewest} to {most} "
        f"copies). Here: **{dearer(slower, [1.0])}** ({min(slower):.0f} to {max(slower):.0f} times). The sequential "
        f"vote of up to {most} copies, not the paper's, is {min(faster):.0f} to {max(faster):.0f} times faster than "
        f"the full one and gives the same answer on {sum(alike)} of {len(alike)} images.",
    ]
    rows = []
    for attacker in ATTACKERS:
        for number, row in found[attacker].items():
            whole, ended = row["full"], row["sequential"]
            rows.append(
                [
                    attacker,
                    number,
                    *(f"{percent(vote['right'])} ({percent(vote['abstained'])})" for vote in (whole, ended)),
                    f"{ended['copies']:.0f}",
                    *(f"{1000 * vote['seconds'] / FEW:.2f}" for vote in (whole, ended)),
                    f"{whole['seconds'] / ended['seconds']:.1f}",
                    *(_of_paper(values, attacker) for values in MEDRDF_II.get(int(number), ((), ()))),
                ]
            )
    header = ("attacker", "n", "full vote", "sequential", "copies", "ms, full", "ms, sequential", "ratio")
    return "\n".join([*lines, "", table((*header, "paper: COVID-19", "paper: DermaMNIST"), rows)])


def _of_paper(values: Sequence[float], attacker: str) -> str:
    if not values or attacker == AWARE:
        return ""
    return f"{values[0 if attacker == CLEAN else 1]:.1f}, {values[2]:.1f} s"


# MedRDF, Table IX: what the Robust Metric is worth.

THRESHOLDS = {"1 (paper, 3 classes)": 1.0, "0.22 (its share 5/9)": 2 / 9, "0.04 (its share 0.51)": 0.04}
"""MedRDF, section IV-C: RM >= 1 for three classes, where the leader then has 5/9 of the copies at least, and RM >= 3
for seven, at least 0.51. With K = 2 the leader has exactly 1/2 + RM / 4, and RM is at most 2."""
MEDRDF_IX = {
    CLEAN: ((90.8, 0.6, 7.2, 1.4), (84.6, 2.4, 11.0, 2.0)),
    BLIND: ((90.2, 1.2, 7.8, 0.8), (87.4, 1.8, 9.2, 1.6)),
}
"""MedRDF, Table IX (COVID-19; ResNet-50, AG-Sononet-16), originals and PGD-100, in % of all images: right and RM >= 1,
right and below, wrong and below, wrong and RM >= 1."""


def run_metric(bench: Bench) -> Json:
    """The full vote with the paper's choice of noise and denoiser: a vote that ends early has an RM of few copies.

    The attacked images are those of the sequential vote, whose answers are the same all but always.
    """
    found, stages = {}, [SaltAndPepper(0.1), MedianFilter()]
    for entry in ENTRIES:
        early, full = (bench.defense(entry, stages, BinomialVote(COPIES, ALPHA, kind)) for kind in (True, False))
        found[entry] = bench.measured(entry, early, full)
    return found


def quarters(right: Sequence[int], kept: Sequence[bool]) -> tuple[float, float, float, float]:
    """Shares in % of images right and kept, right and not, wrong and not, wrong and kept: Table IX's order."""
    hit, above = np.asarray(right, dtype=bool), np.asarray(kept, dtype=bool)
    parts = (hit & above, hit & ~above, ~hit & ~above, ~hit & above)
    first, second, third, fourth = (100 * float(part.mean()) for part in parts)
    return first, second, third, fourth


def tell_metric(found: Json, split: Split) -> str:
    """Claims and table."""
    del split
    gains: dict[str, list[tuple[str, Contrast]]] = {}
    caught: dict[str, list[tuple[str, Contrast]]] = {}
    rows = []
    for entry, measured in found.items():
        for attacker in ATTACKERS:
            right, scores = measured[attacker]["right"], measured[attacker]["score"]
            for name, threshold in THRESHOLDS.items():
                kept = [score >= threshold for score in scores]
                parts = quarters(right, kept)
                if threshold == 1:
                    gain = kept_against_rest(right, kept)
                    gains[f"{entry}, {attacker}"] = [("", gain)] if gain else []
                    doubtful = wrong_and_below(right, kept)
                    caught[f"{entry}, {attacker}"] = [("", doubtful)] if doubtful else []
                paper = MEDRDF_IX.get(attacker, ()) if threshold == 1 and entry == "natural" else ()
                rows.append(
                    [
                        entry,
                        attacker,
                        name,
                        percent(kept),
                        percent([hit for hit, above in zip(right, kept, strict=True) if above]),
                        percent([hit for hit, above in zip(right, kept, strict=True) if not above]),
                        " / ".join(f"{part:.1f}" for part in parts),
                        "; ".join(" / ".join(f"{part:.1f}" for part in row) for row in paper),
                    ]
                )
    figures = (
        "Table IX, ResNet-50, originals: 90.8 % of images right and above with 7.2 % wrong and below, 0.6 % right and "
        "below with 1.4 % wrong and above"
    )
    lines = [
        told("that answers with RM >= 1 are right more often than those below", figures, gains),
        told(
            "that most wrong answers have an RM below 1, here their share in % held against one half",
            "Table IX, ResNet-50: 7.2 of 8.6 % clean, 7.8 of 8.6 % under PGD-100",
            caught,
        ),
    ]
    header = ("classifier", "attacker", "RM at least", "kept", "right of the kept", "right of the others")
    quarter = "right kept / right not / wrong not / wrong kept"
    return "\n".join([*lines, "", table((*header, quarter, "paper: the same"), rows)])


# MedRDF, Table X: geometry in place of noise.

GEOMETRIES: dict[str, tuple[Callable[[], Stage], float, float]] = {
    "random rotation": (RandomRotation, 49.6, 28.8),
    "random resizing": (RandomResize, 90.8, 62.2),
    "salt and pepper": (SaltAndPepper, 91.2, 90.2),
}
"""Stages, and MedRDF, Table X (ResNet-18, COVID-19): natural accuracy and PGD-20 in %."""


def run_geometry(bench: Bench) -> Json:
    """Each kind of copies before the median filter."""
    return {
        entry: {
            name: bench.measured(entry, bench.defense(entry, [make(), MedianFilter()], BinomialVote(COPIES, ALPHA)))
            for name, (make, *_) in GEOMETRIES.items()
        }
        for entry in ENTRIES
    }


def tell_geometry(found: Json, split: Split) -> str:
    """Claim and table."""
    claim = Claim(
        "that noise is better than random resizing, and this better than random rotation",
        "Table X, PGD-20: 90.2, 62.2, 28.8; clean: 91.2, 90.8, 49.6",
        (("salt and pepper", "random resizing"), ("random resizing", "random rotation")),
        ATTACKERS,
    )
    rows = [
        [entry, name, *_accuracies(row, split), _abstentions(row), _beside(entry, GEOMETRIES[name][1:])]
        for entry, named in found.items()
        for name, row in named.items()
    ]
    header = ("classifier", "copies by", *MEASURED, "abstained", "paper: COVID-19")
    return "\n".join([tested(claim, found, split), "", table(header, rows)])


# Medical Aegis, Table 5: the choice of Cushion.

CUSHIONS: dict[str, tuple[Callable[[], list[Stage]], float, float]] = {
    "none": (lambda: [], 99.7, 92.0),
    "JPEG-90": (lambda: [Jpeg(90)], 99.7, 99.6),
    "JPEG-80": (lambda: [Jpeg(80)], 99.6, 100.0),
    "JPEG-70": (lambda: [Jpeg(70)], 99.1, 100.0),
    "last 3 bits cleared": (lambda: [BitDepth(5)], 99.3, 99.3),
    "last 4 bits cleared": (lambda: [BitDepth(4)], 96.8, 100.0),
    "TVM": (lambda: [TotalVariation()], 99.2, 100.0),
}
"""Stages, and Medical Aegis, Table 5 (VGG-16; fundus images, as its agreement with Table 3 says): the column "Model",
and the AUC of its detector against the adaptive attack WB, both in %."""
SLIGHTLY = CUSHIONS["none"][1] - min(model for _, model, _ in CUSHIONS.values())
"""What the paper calls slightly: its largest loss, in points."""


def run_cushion(bench: Bench) -> Json:
    """Each Cushion before the classifier alone; Medical Aegis's detector is no part of this."""
    return {
        entry: {name: bench.measured(entry, bench.defense(entry, make())) for name, (make, *_) in CUSHIONS.items()}
        for entry in ENTRIES
    }


def tell_cushion(found: Json, split: Split) -> str:
    """Claims and table."""
    others = [name for name in CUSHIONS if name != "none"]
    claims = (
        Claim(
            "that every Cushion weakens the adaptive attacker, who passes it by BPDA",
            "Table 5, AUC of the detector behind it under WB: 99.3 to 100 against 92.0 without; of the diagnosis under "
            "attack there is no figure",
            tuple((name, "none") for name in others),
        ),
        Claim(
            "that a Cushion affects the diagnosis of clean images slightly, tested as a loss of less than its largest",
            f"Table 5, Model: 96.8 to 99.7 against 99.7 without, a loss of {SLIGHTLY:.1f} points at most",
            tuple((name, "none") for name in others),
            (CLEAN,),
            SLIGHTLY,
        ),
    )
    rows = [
        [entry, name, *_accuracies(row, split), _beside(entry, CUSHIONS[name][1:])]
        for entry, named in found.items()
        for name, row in named.items()
    ]
    header = ("classifier", "Cushion", *MEASURED, "paper: Model, AUC")
    return "\n".join([*(tested(claim, found, split) for claim in claims), "", table(header, rows)])


# Survey, Table 15: the cost of training.

TRAINED = 1024
ROUNDS = 3
NATURAL = (16.2, 17.3)
SURVEY_15 = {
    "pgd_at": (53.5, 65.1),
    "trades": (56.0, 67.7),
    "mart": (55.0, 65.9),
    "mpadvt": (54.7, 65.5),
    "hat": (62.0, 74.9),
}
"""Survey, Table 15 (ResNet-18, one A100): seconds per epoch on Messidor and ISIC; ``NATURAL``: natural training's."""
MEDRDF_XI = {"natural": 0.51, "pgd_at": 1.50, "trades": 1.97, "mart": 1.58}
"""MedRDF, Table XI (ResNet-18, COVID-19): training time in hours; MedRDF itself is naturally trained."""
SEVERAL = 2.0
"""Times that count as several."""
FURTHER: dict[str, dict[str, Json]] = {
    "fat": {},
    "ima": {},
    "ssat": {"semi_supervised": {"labelled": 0.5, "epochs": 1}},
    "ensemble_at": {},
    "ard": {"teacher": {"weights": "../pgd_at/weights/{dataset}.safetensors"}, "distillation": {"temperature": 20}},
    "defensive_distillation": {"distillation": {"temperature": 20}},
}
"""Tables of the methods that no shipped recipe uses."""


def recipe_of(method: str, seed: int) -> Recipe:
    """The shipped recipe of a method, else PGD-AT's with the tables that the method needs; of two epochs."""
    shipped = ROOT.submissions / method / "recipe.toml"
    known = shipped.is_file()
    recipe = read_recipe(shipped if known else ROOT.submissions / "pgd_at" / "recipe.toml")
    fields = recipe.model_dump(exclude_none=True) | {"seed": seed, "epochs": 2}
    if not known:
        fields |= {"method": method} | FURTHER[method]
        needs, _ = TABLES[method]
        if "adversary" not in needs:
            del fields["adversary"]
        if "surrogates" in needs:
            fields["surrogates"] = [_surrogate(name) for name in surrogate_names(ROOT, DATASET)]
    return Recipe.model_validate(fields)


def _surrogate(name: str) -> dict[str, Json]:
    recipe = read_recipe(ROOT.datasets / DATASET / "surrogates" / f"{name}.toml")
    weights = f"../../datasets/{DATASET}/surrogates/{recipe.weights}"
    return {"weights": weights, "architecture": recipe.architecture, "options": recipe.options}


def second_epoch(recipe: Recipe, training: Split, validation: Split) -> float:
    """Processor seconds of the second epoch of the method's own stage; the first one warms up."""
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            recipe,
            find_card(DATASET, ROOT),
            (training, validation),
            Path(folder) / "weights.safetensors",
            lambda _: marks.append(time.process_time()),
            # Methods that ship no entry have no folder; their paths are relative to PGD-AT's.
            beside=ROOT.submissions / "pgd_at",
        )
    return marks[-1] - marks[-2]


def trained(method: str, training: Split, validation: Split) -> Json:
    """A method's epoch and natural training's in turn, in this process; ``memory`` is its peak, in MiB."""
    from resource import RUSAGE_SELF, getrusage

    before = getrusage(RUSAGE_SELF).ru_maxrss / 1024
    ratios, seconds, memory = [], [], 0.0
    for number in range(ROUNDS):
        seconds.append(second_epoch(recipe_of(method, number), training, validation))
        memory = memory or getrusage(RUSAGE_SELF).ru_maxrss / 1024
        ratios.append(seconds[-1] / second_epoch(recipe_of("natural", number), training, validation))
    return {"ratios": ratios, "seconds": statistics.median(seconds), "before": before, "memory": memory}


def run_training(bench: Bench) -> Json:
    """Each method in a process of its own, so that the peak of memory is its own too."""
    splits = []
    for name, count in (("train", TRAINED), ("val", 16)):
        split = load_split(bench.card, name, ROOT)
        splits.append(split.by_ids(stratified_ids(split, count, [])))
    found = {}
    for method in METHODS:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found[method] = pool.submit(trained, method, *splits).result()
    return found


def dearer(first: Sequence[float], second: Sequence[float]) -> str:
    """Verdict on the claim that the first ratios are above the second, from their whole ranges."""
    return "confirmed" if min(first) > max(second) else "refuted" if max(first) < min(second) else "not told apart"


def tell_training(found: Json, split: Split) -> str:
    """Claims and table."""
    del split
    ratios = {method: row["ratios"] for method, row in found.items()}
    middle = {method: statistics.median(values) for method, values in ratios.items()}
    survey = {
        method: [value / own for value, own in zip(row, NATURAL, strict=True)] for method, row in SURVEY_15.items()
    }
    by_verdict: dict[str, list[str]] = {}
    for method, values in ratios.items():
        if "adversary" in TABLES[method][0]:
            by_verdict.setdefault(dearer(values, [SEVERAL]), []).append(f"{method}: {middle[method]:.1f}")
    lines = [
        f"- The paper claims that adversarial training takes several times as long as natural training, tested as more "
        f"than {SEVERAL:g} times (Table 15: {min(map(min, survey.values())):.1f} times at least). Here: "
        + ", ".join(f"**{verdict}** ({'; '.join(names)})" for verdict, names in by_verdict.items())
    ]
    order = sorted(SURVEY_15, key=lambda method: SURVEY_15[method][0], reverse=True)
    parts = [
        f"{one} above {other}: **{dearer(ratios[one], ratios[other])}** ({middle[one]:.1f} and {middle[other]:.1f})"
        for one, other in pairwise(order)
    ]
    lines.append(f"- The paper's order of cost is {', '.join(order)} (Table 15). Here: {'; '.join(parts)}.")
    base = found["natural"]
    rows = [
        [
            method,
            f"{middle[method]:.2f}",
            f"{min(ratios[method]):.2f} to {max(ratios[method]):.2f}",
            f"{row['seconds']:.2f}",
            f"{row['memory'] / base['memory']:.2f}",
            f"{row['memory'] - row['before']:.0f}",
            ", ".join(f"{value:.2f}" for value in survey.get(method, ())),
            f"{MEDRDF_XI[method] / MEDRDF_XI['natural']:.2f}" if method in MEDRDF_XI else "",
        ]
        for method, row in found.items()
    ]
    header = ("method", "time, ratio", "range", "s per epoch", "peak memory, ratio", "added by training, MiB")
    return "\n".join([*lines, "", table((*header, "survey: Messidor, ISIC", "MedRDF: COVID-19"), rows)])


@dataclass(frozen=True)
class Section:
    """One table: ``run`` measures what a JSON file can hold, ``tell`` words it, given the images.

    ``sources`` are the folders of the package whose code decides what is measured.
    """

    title: str
    note: str
    run: Callable[[Bench], Json]
    tell: Callable[[Json, Split], str]
    sources: tuple[str, ...] = ("attacks", "access", "defense")


SECTIONS = {
    "noise": Section(
        "Noise and denoiser (MedRDF, Tables III to V)",
        f"Level 0.1 of each noise; GS: Gaussian smoothing of one pixel, MF: 3 x 3 median. With noise a vote of up to "
        f"{COPIES} copies at alpha {ALPHA:g}; without it all copies are equal. In the paper a denoiser alone falls to "
        f"15.1 at most and a vote behind it does not, as if the two rows had been attacked in different ways. "
        f"Abstained: clean / non-adaptive / adaptive. Paper: ResNet-18, natural accuracy and PGD-20.",
        run_noise,
        tell_noise,
    ),
    "level": Section(
        "Level of the noise (MedRDF, Table I)",
        "Salt and pepper with the median filter, vote as above. Paper: ResNet-50, natural accuracy and PGD-100.",
        run_level,
        tell_level,
    ),
    "copies": Section(
        "Number of copies (MedRDF, Table II)",
        f"Salt and pepper with the median filter before the natural classifier, {FEW} images; in brackets what was "
        f"abstained on. The adaptive attack is one for all n. Copies: mean that the sequential vote takes. ms: "
        f"processor time per image; ratio: of full to sequential, timed one after the other on the same images. Ten "
        f"copies always abstain: even ten of ten have a two-sided p-value of 0.002, above alpha. "
        f"Paper: ResNet-18, natural accuracy or PGD-7, seconds per image on its GPU.",
        run_copies,
        tell_copies,
    ),
    "metric": Section(
        "Robust Metric (MedRDF, Table IX)",
        f"RM = K (n_A - n_B) / n of the full vote of {COPIES} copies, K = 2, salt and pepper with the median filter. "
        f"The adaptive attacker wants a wrong answer and does not aim at RM. All in %. Paper: three classes, RM >= 1, "
        f"ResNet-50 and AG-Sononet-16; original images and PGD-100.",
        run_metric,
        tell_metric,
    ),
    "geometry": Section(
        "Rotation and resizing in place of noise (MedRDF, Table X)",
        "Angles of 10 to 100 degrees, sizes of 200/224 to 1 as in the paper, then the median filter, vote as above. "
        "Paper: ResNet-18, natural accuracy and PGD-20.",
        run_geometry,
        tell_geometry,
    ),
    "cushion": Section(
        "Choice of Cushion (Medical Aegis, Table 5)",
        "Accuracy of the classifier behind each Cushion, without the detector of Medical Aegis: its AUC at 16/256 is "
        "another measure and stands beside ours for its order alone.",
        run_cushion,
        tell_cushion,
    ),
    "training": Section(
        "Cost of training (survey, Table 15; MedRDF, Table XI)",
        f"The second of two epochs on {TRAINED} training images, validation on 16 included; processor time as a ratio "
        f"to natural training in the same process, median and range of {ROUNDS} rounds in turn, each of its own seed. "
        f"Shipped recipes, whose inner maximisation has 5 steps (the survey's 10); what a first stage takes "
        f"(ssat, defensive_distillation) is not in the epoch. Peak memory: of a process of its own, interpreter and "
        f"libraries included; added: above what it had before. Papers: ratios of seconds per epoch on an A100, and of "
        f"hours.",
        run_training,
        tell_training,
        ("training",),
    ),
}


def fingerprint(sources: Sequence[str]) -> str:
    """Changes with the code in these folders, with the entries and with torch."""
    entries = [find_entry(ROOT, name).content_hash(DATASET) for name in ENTRIES]
    seen = hashlib.sha256(" ".join([torch.__version__, *entries]).encode())
    for folder in sources:
        for path in sorted((ROOT.path / "benchmark" / folder).rglob("*.py")):
            seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


def kept(path: Path, fresh: bool, run: Callable[[], Json]) -> Json:
    """What is kept at ``path``, else what ``run`` returns, with the processor seconds that it took."""
    if fresh or not path.exists():
        start = _processor()
        result = {"found": run(), "seconds": round(_processor() - start, 1)}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(result), "utf-8")
        part.replace(path)
    return json.loads(path.read_text("utf-8"))


def _processor() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def document(parts: Mapping[str, str], split: Split, seconds: float) -> str:
    """The whole document from the text of each section."""
    texts = "\n\n".join(
        f"## {SECTIONS[name].title}\n\n{textwrap.fill(SECTIONS[name].note, 118, break_on_hyphens=False)}\n\n{text}"
        for name, text in parts.items()
    )
    classes = " / ".join(split.classes)
    commonest = percent((split.labels == split.labels.mode().values).tolist())
    return f"""# The papers' ablations, measured again

Made by `python docs/ablations.py --write`; not edited by hand.

- Images: {IMAGES} of PneumoniaMNIST's official subset (28 x 28, two classes), where no section says otherwise.
  Classifiers: those of the entries `natural` and `pgd_at`, a narrow ResNet-18.
- Numbers are accuracies in % unless named otherwise; an abstention counts as wrong. An accuracy of {IMAGES} images has
  a 95 % interval of up to {WIDEST:.0f} points to each side. By class: {classes}.
- {HOLLOW}: this defense knows fewer than half of the clean images of some class. One and the same answer to all scores
  {commonest}, whatever the attack: much of what such a defense keeps under attack is no diagnosis.
- Non-adaptive: PGD-{STEPS} at {EPS_255:g}/255 on the bare classifier; it knows nothing of stages and vote.
- Adaptive: begins with what that attack has found; then PGD-{STEPS} through BPDA and EOT, {EOT} draws per step where
  the defense is random, on what still stands: on the cross-entropy, then on the margin with the identity for every
  backward pass.
- Verdicts: differences in points with 95 % intervals (Tango's for two defenses on the same images); *confirmed* where
  the interval lies above zero, *refuted* where it lies below, else *not told apart*. A claim of several pairs has a
  verdict for each; the intervals are not corrected for their number.
- Papers: MedRDF on COVID-19 radiographs (224 x 224) and DermaMNIST; it does not say whether its attacks knew of noise
  and vote. Other images, networks and numbers of classes: the papers' figures stand beside ours for their order.
- Everything but times and memory is the same at every run. The whole took {seconds / 60:.0f} minutes of processor time.

{texts}
"""


def main() -> None:
    """Run what is chosen and print it; write the document if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--section", metavar="NAME", choices=SECTIONS, help=f"one of {', '.join(SECTIONS)} alone")
    parser.add_argument("--write", action="store_true", help="write the document (all sections)")
    parser.add_argument("--fresh", action="store_true", help="run anew what is kept from an earlier run")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder of what is kept (default: {OUTPUT})")
    given = parser.parse_args()
    if given.section and given.write:
        parser.error("--write needs all sections: leave --section out (finished ones are kept)")
    torch.set_num_threads(1)
    bench, parts, seconds = Bench(), {}, 0.0
    for name in [given.section] if given.section else SECTIONS:
        section = SECTIONS[name]
        result = kept(
            given.output / f"{name}-{fingerprint(section.sources)}.json", given.fresh, partial(section.run, bench)
        )
        parts[name] = section.tell(result["found"], bench.split)
        seconds += result["seconds"]
        print(f"## {section.title} ({result['seconds']:.0f} s)\n\n{parts[name]}\n", flush=True)
    if given.write:
        DOCUMENT.write_text(document(parts, bench.split, seconds), "utf-8")


if __name__ == "__main__":
    main()
