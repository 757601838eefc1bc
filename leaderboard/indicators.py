"""Indicators: signs in the rows that an entry misleads the attacks, so that its robustness cannot be believed.

An entry for which one fires is shown and not ranked. They are one-sided: an entry may mislead in a way that none sees.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.matrix.diagnostics import GRADIENT, INFERENCE
from benchmark.matrix.rules import rules
from benchmark.results.schema import DIAGNOSTIC
from leaderboard.entries import EntryRows, once_per_entry
from leaderboard.verdicts import Verdicts, row_scores

MONOTONICITY, LARGE_RADIUS, NO_GRADIENT, HIDDEN = "monotonicity", "large_radius", "no_gradient", "hidden"

ABOVE_ANOTHER_TRACK = 0.03
"""How far the adaptive worst case may lie above another track's; at most 0.0 on the 73 pairs of 2026-11."""

NO_GRADIENT_BOUND = 0.5
"""Share of images without a gradient from which an entry has a badge."""

BEYOND_THE_MATRIX = 0.03
"""Share of images that attacks which need nothing of the entry may break beyond the matrix's own."""

LEFT_AT_LARGE_RADIUS = 0.05
"""Share of images that may be left at 128/255; 0.0 on seven sound entries of 2026-11, 18.8 % or more on ten masked."""


@dataclass(frozen=True)
class Indicator:
    """One sign.

    Attributes:
        name: :data:`MONOTONICITY` and so on.
        value: share in [0, 1]; NaN where the rows do not tell.
        bound: the largest value that does not fire.
        ranks: whether an entry for which it fires keeps its rank, and has a badge instead.
        sentence: what the value means where it fires.
    """

    name: str
    value: float
    bound: float
    ranks: bool
    sentence: str

    @property
    def fires(self) -> bool:
        """Whether the value lies beyond the bound, by more than a difference of two shares is rounded."""
        return self.value - self.bound > 1e-9


def indicators(entry: EntryRows, judged: Verdicts) -> tuple[Indicator, ...]:
    """Compute all indicators of an entry."""
    return (_monotonicity(judged), _large_radius(entry), _hidden(entry, judged), _no_gradient(entry))


def reasons(found: Iterable[Indicator]) -> list[str]:
    """Return why these indicators keep an entry off the ranks; empty where none does."""
    return [one.sentence for one in found if one.fires and not one.ranks]


def has_diagnostics(entry: EntryRows, digest: str) -> bool:
    """Whether the entry has whole rows of the diagnostics with this sha256."""
    rows = entry.track(DIAGNOSTIC)
    whole = bool(len(rows)) and _left(entry) is not None and len(unaided(entry)) > 0
    return whole and entry.provenance("matrix_hash", [DIAGNOSTIC]) == [digest]


def _monotonicity(judged: Verdicts) -> Indicator:
    strongest, track = rules().with_view("everything")[-1], weakest_other_track(judged)
    adaptive = _worst(judged, strongest)
    other = _worst(judged, track) if track else float("nan")
    value = adaptive - other
    return Indicator(
        MONOTONICITY, value, ABOVE_ANOTHER_TRACK, ranks=False,
        sentence=f"the {strongest} track leaves more robust images than a track whose attacker knows less: the "
        f"{strongest} track {100 * adaptive:.1f} %, the {track} track {100 * other:.1f} % at "
        f"{rules().ranking.text}, so its gradient misleads attacks",
    )  # fmt: skip


def weakest_other_track(judged: Verdicts) -> str:
    """Track, the adaptive one aside, whose worst case at the budget that ranks is lowest; empty for none."""
    names = [name for name in rules().attack_tracks if name != rules().with_view("everything")[-1]]
    shares = {name: share for name in names if np.isfinite(share := _worst(judged, name))}
    return min(shares, key=lambda name: shares[name], default="")


def _worst(judged: Verdicts, track: str) -> float:
    scores, complete = judged.worst(judged.at(*rules().ranking.place, track))
    return float(scores.mean()) if len(scores) and complete.all() else float("nan")


def _large_radius(entry: EntryRows) -> Indicator:
    left = _left(entry)
    value = float("nan") if left is None else left
    return Indicator(
        LARGE_RADIUS, value, LEFT_AT_LARGE_RADIUS, ranks=False,
        sentence=f"attacks with its gradient leave {100 * value:.1f} % at 128/255; a useful gradient leaves at "
        f"most {100 * LEFT_AT_LARGE_RADIUS:.0f} %, so it misleads attacks, or the entry always predicts one class",
    )  # fmt: skip


def _hidden(entry: EntryRows, judged: Verdicts) -> Indicator:
    """What the diagnostics' own attacks at the budget that ranks break beyond the matrix's, on their images."""
    held = unaided(entry)
    scores, complete = judged.worst(judged.at(*rules().ranking.place))
    worst = pd.Series(scores, index=judged.images)[complete] if len(scores) else pd.Series(dtype=np.float64)
    both = worst.index.intersection(held.index)
    known = len(both) == len(held) > 0
    before = float(worst[both].mean()) if known else float("nan")
    after = float(np.minimum(worst[both], held[both]).mean()) if known else float("nan")
    return Indicator(
        HIDDEN, before - after, BEYOND_THE_MATRIX, ranks=False,
        sentence=f"attacks that need nothing of the entry leave {100 * after:.1f} % of {len(both)} images at "
        f"{rules().ranking.text}, where those of the matrix leave {100 * before:.1f} %, so it hides from these how "
        "weak it is",
    )  # fmt: skip


@once_per_entry
def unaided(entry: EntryRows) -> pd.Series:
    """Worst score of each image under the ranked cells of the diagnostics; empty where there is a gap or no row."""
    rows = entry.track(DIAGNOSTIC)
    norm, eps = rules().ranking.place
    here = ~rows["unranked"].astype(bool) & (rows["norm"] == norm) & (rows["eps_255"] == eps)
    rows = rows[here.to_numpy()]
    if rows.empty or (rows["status"] != "ok").any():
        return pd.Series(dtype=np.float64)
    return pd.Series(row_scores(rows, entry)).groupby(rows["sample_id"].astype(str).to_numpy()).min()


@once_per_entry
def _left(entry: EntryRows) -> float | None:
    """Share of images right under each of the attacks at the large radius; None where there is a gap or no row."""
    rows = entry.track(DIAGNOSTIC)
    rows = rows[(~rows["attack"].isin([GRADIENT, INFERENCE]) & rows["unranked"].astype(bool)).to_numpy()]
    if rows.empty or (rows["status"] != "ok").any():
        return None
    return float(rows.groupby(rows["sample_id"].astype(str))["correct"].min().mean())


@once_per_entry
def _no_gradient(entry: EntryRows) -> Indicator:
    """Share of images at which the adaptive gradient is zero or not finite: a badge, not a verdict."""
    rows = entry.track(DIAGNOSTIC)
    rows = rows[((rows["attack"].astype(str) == GRADIENT) & (rows["status"] == "ok")).to_numpy()]
    value = float((rows["score"].fillna(0.0) == 0).mean()) if len(rows) else float("nan")
    return Indicator(
        NO_GRADIENT, value, NO_GRADIENT_BOUND, ranks=True,
        sentence=f"it offers no gradient: zero or not finite at {100 * value:.0f} % of the images",
    )  # fmt: skip


@once_per_entry
def decision_gflops(entry: EntryRows) -> float | None:
    """GFLOPs that a decision of the deployed system takes per image; None where they were not counted."""
    rows = entry.track(DIAGNOSTIC)
    rows = rows[((rows["attack"].astype(str) == INFERENCE) & (rows["status"] == "ok")).to_numpy()]
    return float(rows["score"].mean()) if len(rows) and rows["score"].notna().all() else None
