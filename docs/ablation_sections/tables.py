"""Claims, and the tables that compare our results with a paper's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ablation_sections.bench import ATTACKERS, AWARE, BLIND, CLEAN, Json
from ablation_sections.verdicts import VERDICTS, Contrast, contrast
from benchmark.data.split import Split

HOLLOW = "‡"
"""Marks a defense that is correct on fewer than half of the clean images of some class."""

MEASURED = (*ATTACKERS, f"{CLEAN}, by class", f"{AWARE}, by class")


def percent(flags: Sequence[float | bool]) -> str:
    """A share in %; a dash if there are no images."""
    return f"{100 * sum(flags) / len(flags):.1f}" if len(flags) else "–"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    cells = [header, ["---" for _ in header], *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


@dataclass(frozen=True)
class Claim:
    """An order of defenses that a paper claims.

    Attributes:
        said: the claim, a sentence that continues "the paper claims".
        figures: the paper's figures and their source.
        pairs: names of two defenses, the better one according to the claim first.
        attackers: the attackers under which the claim is tested.
        slack: points by which the first may be below the second.
    """

    said: str
    figures: str
    pairs: tuple[tuple[str, str], ...]
    attackers: tuple[str, ...] = (BLIND, AWARE)
    slack: float = 0.0


def told(said: str, figures: str, found: Mapping[str, Sequence[tuple[str, Contrast]]]) -> str:
    """The lines at the start of a section: a claim, and the verdicts for each condition."""
    lines = [f"- The paper claims {said} ({figures}). Here:"]
    for where, parts in found.items():
        verdicts = []
        for verdict in VERDICTS:
            named = [f"{name} {value}".strip() for name, value in parts if value.verdict == verdict]
            if named:
                verdicts.append(f"**{verdict}** ({'; '.join(named)})")
        lines.append(f"  - {where}: {', '.join(verdicts) or 'no images to compare'}")
    return "\n".join(lines)


def tested(claim: Claim, measured: Mapping[str, Json], split: Split) -> str:
    """A claim and its verdicts; ``measured`` holds results of :meth:`Bench.measured` by entry and name."""
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
    """A pair, without the defense that all pairs share."""
    firsts, seconds = ({pair[side] for pair in claim.pairs} for side in (0, 1))
    if len(claim.pairs) == 1:
        return HOLLOW if better.endswith(HOLLOW) else ""
    return f"vs. {worse}" if len(firsts) == 1 else better if len(seconds) == 1 else f"{better} vs. {worse}"


def by_class(row: Mapping[str, Json], attacker: str, split: Split) -> list[float]:
    """Accuracy on each class, in %."""
    right = torch.tensor(row[attacker]["right"], dtype=torch.float64)
    return [100 * float(right[split.labels == label].mean()) for label in range(len(split.classes))]


def hollow(row: Mapping[str, Json], split: Split) -> bool:
    """Whether a defense is correct on fewer than half of the clean images of some class."""
    return min(by_class(row, CLEAN, split)) < 50


def accuracies(row: Mapping[str, Json], split: Split) -> list[str]:
    """Cells under :data:`MEASURED`."""
    first, *others = (percent(row[attacker]["right"]) for attacker in ATTACKERS)
    classes = (" / ".join(f"{value:.0f}" for value in by_class(row, attacker, split)) for attacker in (CLEAN, AWARE))
    return [first + (HOLLOW if hollow(row, split) else ""), *others, *classes]


def abstentions(row: Mapping[str, Json]) -> str:
    """The cell under "abstained": % of images per attacker."""
    return " / ".join(percent(row[attacker]["abstained"]) for attacker in ATTACKERS)


def beside(entry: str, values: Sequence[float]) -> str:
    """A paper's figures, for the classifier that is trained like the paper's."""
    return ", ".join(f"{value:.1f}" for value in values) if entry == "natural" else ""
