"""MedRDF, Table IX: what the Robust Metric is worth."""

from collections.abc import Sequence

import numpy as np

from ablation_sections.bench import ALPHA, ATTACKERS, BLIND, CLEAN, COPIES, ENTRIES, Bench, Json
from ablation_sections.section import Section
from ablation_sections.tables import percent, table, told
from ablation_sections.verdicts import Contrast, kept_against_rest, wrong_and_below
from benchmark.data.split import Split
from benchmark.defense.stages import BinomialVote, MedianFilter, SaltAndPepper

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


SECTION = Section(
    "Robust Metric (MedRDF, Table IX)",
    f"RM = K (n_A - n_B) / n of the full vote of {COPIES} copies, K = 2, salt and pepper with the median filter. "
    f"The adaptive attacker wants a wrong answer and does not aim at RM. All in %. Paper: three classes, RM >= 1, "
    f"ResNet-50 and AG-Sononet-16; original images and PGD-100.",
    run_metric,
    tell_metric,
)
