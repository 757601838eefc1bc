"""Short badges of a board's rows: each with a sentence for its hover title, and a meaning for the legend."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmark.matrix.rules import rules
from benchmark.submission.manifest import Manifest
from leaderboard.constant import BELOW_CHANCE, MISSES_A_CLASS, NEARLY_CONSTANT, NO_BETTER
from leaderboard.indicators import (
    ABOVE_ANOTHER_TRACK,
    BEYOND_THE_MATRIX,
    HIDDEN,
    LARGE_RADIUS,
    LEFT_AT_LARGE_RADIUS,
    MONOTONICITY,
    NO_GRADIENT,
    NO_GRADIENT_BOUND,
)
from leaderboard.record import ALL_TRACKS, Record
from leaderboard.site.clinicalpage import Clinical
from leaderboard.site.tracks import TRACK_TEXT
from leaderboard.summary import Line

UNDER_ATTACK = " under attack"

MEANINGS = {
    "unofficial": "A run that the maintainers did not make, often with fewer attacks and images. It is never ranked.",
    "incomplete": "An attack, an image or a track is missing. The entry is not ranked.",
    "misleading gradient": "Signs that the entry misleads attacks, mostly by its gradient, so that the robust accuracy "
    "is too high. The entry is not ranked.",
    "no gradient": "The defense offers no gradient. Attacks without gradients decide its worst case.",
    "found by others": "Adversarial images that outsiders handed in break images which the benchmark's own attacks "
    "leave. They count in the worst case.",
    "stochastic": "The defense draws random numbers. Its figures are means over several draws, it skips some attacks, "
    "and it is given a smaller query budget.",
    NEARLY_CONSTANT: "Predicts one class on at least 95 % of the clean images.",
    MISSES_A_CLASS: "Never predicts one of the classes on clean images.",
    BELOW_CHANCE: "Sensitivity on a class is below chance (1/classes) on clean images.",
    NO_BETTER: "Clean accuracy and balanced accuracy are not above those of a constant prediction.",
    NEARLY_CONSTANT + UNDER_ATTACK: "Predicts one class on at least 95 % of the images under the worst case.",
    MISSES_A_CLASS + UNDER_ATTACK: "Never predicts one of the classes under the worst case.",
    NO_BETTER + UNDER_ATTACK: "Robust accuracy and balanced accuracy are not above those of a constant prediction.",
    "unranked attack lower": "An attack that the matrix does not count is stronger alone than the counted worst case.",
    "baseline": "Shipped with the benchmark.",
}
"""Badge -> what it means, in the order of the legend."""

_FIRES = {MONOTONICITY: ABOVE_ANOTHER_TRACK, LARGE_RADIUS: LEFT_AT_LARGE_RADIUS, HIDDEN: BEYOND_THE_MATRIX}


@dataclass(frozen=True)
class Badge:
    """A badge: its text, a sentence with the entry's own figures, how loud it is, and where it leads, if anywhere."""

    text: str
    title: str
    kind: str = ""
    href: str = ""


def badges(
    line: Line,
    manifest: Manifest | None,
    clinical: Clinical,
    lower: Mapping[str, Record],
    told: str,
    *,
    baselines: bool,
) -> tuple[Badge, ...]:
    """Return an entry's badges, the ones that cost it its rank first.

    Args:
        line: its figures.
        manifest: None where its folder is gone.
        clinical: its clinical figures, with its warnings.
        lower: unranked attacks below the counted worst case, by track, of
            :func:`leaderboard.site.uncounted.lower_uncounted`.
        told: what to say of an unofficial run: its profile and its number of images.
        baselines: whether to tell the entries that ship with the benchmark from others.
    """
    found = [*_unranked(line, told)]
    if _no_gradient(line, manifest):
        found.append(Badge("no gradient", _no_gradient(line, manifest)))
    if line.by_others is not None and line.by_others.known and line.by_others.value > 0:
        found.append(Badge("found by others", _by_others(line.by_others)))
    if manifest and manifest.stochastic:
        found.append(Badge("stochastic", MEANINGS["stochastic"], href="read.html#randomised"))
    for warning in clinical.warnings:
        found += [
            Badge(short, warning.sentence, "quiet" if short.endswith(UNDER_ATTACK) else "warn")
            for short in warning.badges
        ]
    if lower:
        found.append(Badge("unranked attack lower", _lower(line, lower), "quiet", "read.html#uncounted"))
    if baselines and manifest and manifest.baseline:
        found.append(Badge("baseline", MEANINGS["baseline"], "quiet"))
    return tuple(found)


def legend(found: Iterable[Badge]) -> list[tuple[str, str]]:
    """Return the badges among these with their meanings."""
    there = {badge.text for badge in found}
    return [(text, meaning) for text, meaning in MEANINGS.items() if text in there]


def _unranked(line: Line, told: str) -> list[Badge]:
    """Say why an entry has no rank: the reasons all stand in one title, and on the entry's page."""
    reasons = [reason for reason in line.placement.reasons if reason != "unofficial run"]
    found = [] if line.placement.official else [Badge("unofficial", told, "warn")]
    misled = _misled(line)
    if misled:
        found.append(Badge("misleading gradient", _sentence(reasons[:misled]), "warn"))
    if reasons[misled:]:
        found.append(Badge("incomplete", "Not ranked: " + _sentence(reasons[misled:]), "warn"))
    return found


def _misled(line: Line) -> int:
    """Count the indicators that fire; their reasons come first among an entry's."""
    measured = ((line.indicators.get(f"indicator_{name}"), bound) for name, bound in _FIRES.items())
    return sum(one is not None and one.known and one.value - bound > 1e-9 for one, bound in measured)


def _no_gradient(line: Line, manifest: Manifest | None) -> str:
    measured = line.indicators.get(f"indicator_{NO_GRADIENT}")
    if measured is not None and measured.known and measured.value > NO_GRADIENT_BOUND:
        return f"Its gradient is zero or not finite on {100 * measured.value:.0f} % of the images."
    return "Its manifest offers no gradient." if manifest and not manifest.gradient else ""


def _by_others(record: Record) -> str:
    return (
        f"{100 * record.value:.1f} % of the images fall to adversarial images of outsiders alone; 'bench external' "
        "says how to hand in more."
    )


def _lower(line: Line, lower: Mapping[str, Record]) -> str:
    """Name each unranked attack once, with the track whose worst case it lies below."""
    sentences = []
    for track, record in lower.items():
        counted = line.worst if track == ALL_TRACKS else line.tracks.get(track)
        if counted is None or (track == ALL_TRACKS and record.track in lower):
            continue
        sentences.append(
            f"{record.attack} ({TRACK_TEXT[record.track][0].lower()}, not counted): {100 * record.value:.1f} % at "
            f"{rules().ranking.text}; counted worst case of the track: {100 * counted.value:.1f} %."
        )
    if ALL_TRACKS in lower and line.worst is not None:
        sentences.append(f"This is also below the worst case over all tracks, {100 * line.worst.value:.1f} %.")
    return " ".join(sentences)


def _sentence(reasons: Iterable[str]) -> str:
    text = "; ".join(reasons)
    return f"{text[:1].upper()}{text[1:]}."
