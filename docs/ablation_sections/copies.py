"""MedRDF, Table II: the number of copies."""

import statistics
import time
from collections.abc import Sequence

from torch import Tensor

from ablation_sections.bench import ALPHA, ATTACKERS, AWARE, CLEAN, COPIES, DATASET, ENTRIES, Bench, Json
from ablation_sections.papers import CLEAN_IMAGES, COVID, DERMA, PGD7, printed
from ablation_sections.section import Section
from ablation_sections.tables import percent, table, told
from ablation_sections.verdicts import contrast, costlier
from benchmark.data.split import Split
from benchmark.defense import Defense
from benchmark.defense.stages import BinomialVote, MedianFilter, SaltAndPepper
from benchmark.randomness import Randomness, content_seed

FEW = 32
NUMBERS = (10, 100, 1000, 10000)
REPEATS = {10: 5, 100: 3, 1000: 1, 10000: 1}
"""Timings per number of copies; the median counts. Short timings vary most."""
MEDRDF_II = {
    number: [
        [
            printed("MedRDF", "II", f" {number} votes", dataset=dataset, **column)
            for column in (CLEAN_IMAGES, PGD7, {"metric": "inference_time_per_image"})
        ]
        for dataset in (COVID, DERMA)
    ]
    for number in NUMBERS[1:]
}
"""MedRDF, Table II (ResNet-18): natural accuracy in %, PGD-7 in % and seconds per image, COVID-19 and DermaMNIST."""


def _polled(defense: Defense, images: Tensor, labels: Tensor, seeds: Sequence[int], repeats: int) -> Json:
    """Predictions, copies and median processor seconds of a vote on images (N, C, H, W)."""
    seconds = []
    # A vote computes its table of counts at its first prediction.
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
    """The full and the sequential vote, one after the other, on the same images and draws."""
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
        "Table II, PGD-7: 93.2 vs. 92.2 on COVID-19, 67.3 vs. 65.4 on DermaMNIST; clean: 91.2 vs. 91.2, 69.0 vs. 68.9"
    )
    slower = [many["seconds"] / some["seconds"] for many, some in zip(full[most], full[fewest], strict=True)]
    faster = [many["seconds"] / few["seconds"] for many, few in zip(full[most], early, strict=True)]
    alike = [
        one == other
        for many, few in zip(full[most], early, strict=True)
        for one, other in zip(many["label"], few["label"], strict=True)
    ]
    lines = [
        told(f"that {most} copies are more accurate than {fewest}", figures, gains),
        f"- The paper claims that the time per image grows with n (Table II: 38 and 11 times from {fewest} to {most} "
        f"copies). Here: **{costlier(slower, [1.0])}** ({min(slower):.0f} to {max(slower):.0f} times). The sequential "
        f"vote of up to {most} copies, which the paper does not have, is {min(faster):.0f} to {max(faster):.0f} times "
        f"faster than the full vote. It makes the same prediction on {sum(alike)} of {len(alike)} images.",
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


SECTION = Section(
    "Number of copies (MedRDF, Table II)",
    f"Salt and pepper with the median filter before the natural classifier (by class: first section), {FEW} images. "
    f"In brackets: abstentions. One adaptive attack, on the sequential vote of up to {COPIES} copies, serves all n. "
    "Copies: mean number that the sequential vote uses. ms: processor time per image; ratio: full to sequential, "
    "timed one after the other on the same images. Ten copies always abstain: even ten equal votes have a two-sided "
    "p-value of 0.002, above alpha. Paper: ResNet-18, natural accuracy or PGD-7, seconds per image on its GPU.",
    run_copies,
    tell_copies,
)
