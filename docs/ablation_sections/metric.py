"""MedRDF, Table IX: how well the Robust Metric separates correct from incorrect predictions."""

from collections.abc import Iterator, Sequence

import numpy as np

from ablation_sections.bench import ALPHA, ATTACKERS, BLIND, CLEAN, COPIES, DATASET, ENTRIES, Bench, Json
from ablation_sections.papers import printed
from ablation_sections.section import Section
from ablation_sections.tables import percent, table, told
from ablation_sections.verdicts import Contrast, kept_against_rest, wrong_and_below
from benchmark.data.split import Split
from benchmark.defense.stages import BinomialVote, MedianFilter, SaltAndPepper

PAPERS = 1.0
"""MedRDF, section IV-C: RM >= 1 for three classes; the top class then has at least 5/9 of the copies."""
IN_TWO = {"1 (paper, 3 classes)": PAPERS, "0.22 (top class 5/9)": 2 / 9, "0.04 (top class 0.51)": 0.04}
"""With K = 2 the top class has exactly 1/2 + RM / 4 of the copies, and RM is at most 2; 0.51 is the least share of the
top class under the paper's threshold for seven classes, RM >= 3."""
THRESHOLDS = {DATASET: IN_TWO, "isic2017_64": {"1 (paper)": PAPERS}}
"""The data sets, with two and with three classes, and their thresholds on RM."""
FEWER = 64
"""Images of the other data set, its whole official subset."""
MEDRDF_IX = {
    attacker: [
        [
            printed("MedRDF", "IX", model=model, metric=part, attack=attack)
            for part in ("right_and_sure", "right_not_sure", "wrong_not_sure", "wrong_and_sure")
        ]
        for model in ("ResNet-50", "AG-Sononet-16")
    ]
    for attacker, attack in ((CLEAN, "none"), (BLIND, "pgd-100"))
}
"""MedRDF, Table IX (COVID-19; ResNet-50, AG-Sononet-16), originals and PGD-100, in % of all images: correct and
RM >= 1, correct and below, incorrect and below, incorrect and RM >= 1."""


def run_metric(bench: Bench) -> Json:
    """The full vote with the paper's noise and denoiser; the RM of a vote that stops early comes from few copies.

    The attack is on the sequential vote, whose predictions nearly always agree with the full vote's.
    """
    found: Json = {}
    for dataset in THRESHOLDS:
        here = bench if dataset == DATASET else Bench(FEWER, dataset)
        stages = [SaltAndPepper(0.1), MedianFilter()]
        for entry in ENTRIES:
            early, full = (here.defense(entry, stages, BinomialVote(COPIES, ALPHA, kind)) for kind in (True, False))
            found.setdefault(dataset, {})[entry] = here.measured(entry, early, full)
    return found


def quarters(right: Sequence[int], kept: Sequence[bool]) -> tuple[float, float, float, float]:
    """Shares in % of images: correct and kept, correct and not, incorrect and not, incorrect and kept (Table IX)."""
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
    for dataset, entry, attacker, row in _each(found):
        right, scores = row["right"], row["score"]
        where = f"{dataset}, {entry}, {attacker}"
        for name, threshold in THRESHOLDS[dataset].items():
            kept = [score >= threshold for score in scores]
            if threshold == PAPERS:
                gain, doubtful = kept_against_rest(right, kept), wrong_and_below(right, kept)
                gains[where] = [("", gain)] if gain else []
                caught[where] = [("", doubtful)] if doubtful else []
            paper = MEDRDF_IX.get(attacker, ()) if name == "1 (paper)" and entry == "natural" else ()
            rows.append(
                [
                    dataset,
                    entry,
                    attacker,
                    name,
                    percent(kept),
                    percent([hit for hit, above in zip(right, kept, strict=True) if above]),
                    percent([hit for hit, above in zip(right, kept, strict=True) if not above]),
                    " / ".join(f"{part:.1f}" for part in quarters(right, kept)),
                    "; ".join(" / ".join(f"{part:.1f}" for part in parts) for parts in paper),
                ]
            )
    figures = (
        "Table IX, ResNet-50, original images: 90.8 % correct with RM >= 1, 0.6 % correct with RM < 1, 7.2 % incorrect "
        "with RM < 1, 1.4 % incorrect with RM >= 1"
    )
    lines = [
        told("that predictions with RM >= 1 are correct more often than those with RM < 1", figures, gains),
        told(
            "that most incorrect predictions have RM < 1, tested as a share above 50 %",
            "Table IX, ResNet-50: 7.2 of 8.6 % clean, 7.8 of 8.6 % under PGD-100",
            caught,
        ),
    ]
    header = ("data set", "classifier", "attacker", "RM at least", "kept", "accuracy, kept", "accuracy, not kept")
    quarter = "correct kept / correct not / incorrect not / incorrect kept"
    return "\n".join([*lines, "", table((*header, quarter, "paper: the same"), rows)])


def _each(found: Json) -> Iterator[tuple[str, str, str, Json]]:
    for dataset, entries in found.items():
        for entry, measured in entries.items():
            for attacker in ATTACKERS:
                yield dataset, entry, attacker, measured[attacker]


SECTION = Section(
    "Robust Metric (MedRDF, Table IX)",
    f"RM = K (n_A - n_B) / n of the full vote of {COPIES} copies, salt and pepper with the median filter. K = 2 on "
    f"PneumoniaMNIST; ISIC ({FEWER} images of 64 x 64) has the paper's K = 3. Kept: RM reaches the threshold. The "
    f"adaptive attack aims at misclassification, not at RM. All numbers are in %. Paper: three classes, RM >= 1, "
    f"ResNet-50 and AG-Sononet-16; original images and PGD-100.",
    run_metric,
    tell_metric,
)
