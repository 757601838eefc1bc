"""Claims, and the cells and tables that are set beside a paper's figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ablation_sections.bench import ATTACKERS, AWARE, BLIND, CLEAN, Json
from ablation_sections.verdicts import Contrast, contrast
from benchmark.data.split import Split

HOLLOW = "‡"
"""Marks a defense that knows fewer than half of the clean images of some class."""

MEASURED = (*ATTACKERS, f"{CLEAN}, by class", f"{AWARE}, by class")


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
        lines.append(f"  - {where}: {', '.join(verdicts) or 'nothing to hold against each other'}")
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


def by_class(row: Mapping[str, Json], attacker: str, split: Split) -> list[float]:
    """Accuracy within each class, in %."""
    right = torch.tensor(row[attacker]["right"], dtype=torch.float64)
    return [100 * float(right[split.labels == label].mean()) for label in range(len(split.classes))]


def hollow(row: Mapping[str, Json], split: Split) -> bool:
    """Whether a defense knows fewer than half of the clean images of some class."""
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
    """A paper's figures, beside the classifier that is trained as the paper's is."""
    return ", ".join(f"{value:.1f}" for value in values) if entry == "natural" else ""
