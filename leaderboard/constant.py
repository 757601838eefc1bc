"""Plain sentences about models that answer nearly the same whatever they see, or that hardly ever find a class."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.matrix.rules import rules
from leaderboard.record import ALL_TRACKS, HEADLINE, WORST_CASE, Record

NEARLY_ALL = 0.95
"""Share of images with one answer from which a model is called nearly constant."""

SEEN_OFTEN_ENOUGH = 3
"""Images of a class below which its never being answered may be chance (the rule of three)."""

NEARLY_CONSTANT, MISSES_A_CLASS, BELOW_CHANCE, NO_BETTER = (
    "nearly constant",
    "misses a class",
    "class below chance",
    "≤ constant",
)
"""Short names of what a mark says."""

Figures = Mapping[str, Record]
"""Metric -> record, of one entry at one place."""

_NONE: Mapping[int, Record] = {}


@dataclass(frozen=True)
class Mark:
    """A sentence that marks an entry, and short names of what it says, for a badge each."""

    badges: tuple[str, ...]
    sentence: str


def marks(records: Iterable[Record], classes: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the sentences of :func:`badged_marks` alone."""
    return tuple(mark.sentence for mark in badged_marks(records, classes))


def badged_marks(records: Iterable[Record], classes: Sequence[str] = ()) -> tuple[Mark, ...]:
    """Return what marks one entry as nearly constant or as blind to a class; empty for any other.

    The first is about clean images, and it alone names classes found less often than by chance: attacks push any
    sensitivity below that. Under the worst case at the headline budget, an entry has a sentence of its own
    only where that differs.

    Args:
        records: the entry's records (one submission, one data set, one official mark).
        classes: names of the classes in the order of their labels.
    """
    clean, worst = _clean_and_worst(records)
    rarely = _rarely(clean)
    about_clean = _plainly(clean, "accuracy", classes, rarely)
    about_worst = _plainly(worst, HEADLINE, classes)
    found = []
    if about_clean:
        short = _short(clean, "accuracy", bool(rarely))
        found.append(Mark(short, f"{about_clean[0].upper()}{about_clean[1:]}."))
    if about_worst and _gist(worst, HEADLINE) != _gist(clean, "accuracy"):
        short = tuple(f"{name} under attack" for name in _short(worst, HEADLINE))
        found.append(Mark(short, f"Under the worst case at {rules().ranking.text} it {about_worst}."))
    return tuple(found)


def _short(figures: Figures, accuracy: str, rarely: bool = False) -> tuple[str, ...]:
    """Name what a mark says: of :data:`NEARLY_CONSTANT` and so on."""
    top = _top(figures)
    named = {
        NEARLY_CONSTANT: bool(top),
        MISSES_A_CLASS: not top and bool(_never(figures)),
        BELOW_CHANCE: rarely,
        NO_BETTER: bool(_beside_a_constant(figures, accuracy)),
    }
    return tuple(name for name, holds in named.items() if holds)


def hollow(records: Iterable[Record]) -> bool:
    """Whether an entry may keep what it keeps under attack by not telling classes apart.

    So where its clean answers have a mark, or where under the worst case it answers one class throughout or never
    names one that images show. That an attack leaves it no better than one answer is a defeat, and not meant here.

    Args:
        records: as for :func:`marks`.
    """
    clean, worst = _clean_and_worst(records)
    return bool(_plainly(clean, "accuracy", (), _rarely(clean)) or _top(worst) or _never(worst))


def spread(record: Record) -> str:
    """Return a share in percent with its interval."""
    interval = record.interval(" to ").replace("≤", "at most ").replace("≥", "at least ")
    return f"{percent(record.value)} ({interval})"


def percent(share: float) -> str:
    """Return a share in percent."""
    return f"{share * 100:.1f} %"


def _clean_and_worst(records: Iterable[Record]) -> tuple[dict[str, Record], dict[str, Record]]:
    """The records of clean images and those of the worst case at the headline budget, by metric."""
    clean: dict[str, Record] = {}
    worst: dict[str, Record] = {}
    place = (ALL_TRACKS, WORST_CASE, *rules().ranking.place)
    for record in (one for one in records if one.known):
        if record.track == "clean":
            clean[record.metric] = record
        elif (record.track, record.attack, record.norm, record.eps_255) == place:
            worst[record.metric] = record
    return clean, worst


def _gist(figures: Figures, accuracy: str) -> tuple[object, ...]:
    """Return what a mark says without its numbers, to tell whether two marks differ."""
    top = _top(figures)
    return (top[0] if top else None, tuple(_never(figures)), _beside_a_constant(figures, accuracy))


def _plainly(figures: Figures, accuracy: str, classes: Sequence[str], rarely: Mapping[int, Record] = _NONE) -> str:
    """Say it without a subject; empty where there is nothing to say. ``rarely`` are classes found below chance."""
    parts = []
    top, never = _top(figures), _never(figures)
    if top:
        parts.append(f"predicts '{_name(top[0], classes)}' on {_much(top[1].value)}")
    elif never:
        share = sum(figures[f"sensitivity_class_{label}"].n for label in never)
        total = figures["majority_class_rate"].n
        names = " or ".join(f"'{_name(label, classes)}'" for label in never)
        parts.append(f"never predicts {names}, the true class of {share} of {total} images")
    if rarely:
        found = " and ".join(
            f"on '{_name(label, classes)}', {spread(record)} of {record.n} images" for label, record in rarely.items()
        )
        parts.append(f"is right less often than chance ({percent(1.0 / len(_support(figures)))}) {found}")
    beside = _beside_a_constant(figures, accuracy)
    if beside:
        balanced, chance = figures["balanced_accuracy"], 1.0 / len(_support(figures))
        own, constant = figures[accuracy], figures["majority_class_rate"]
        parts.append(
            f"is {beside} a constant prediction: balanced accuracy {spread(balanced)} beside {percent(chance)}, "
            f"accuracy {spread(own)} beside {percent(constant.value)}"
        )
    return ", and ".join(parts)


def _top(figures: Figures) -> tuple[int, Record] | None:
    """Return the class that nearly every image is answered with, unless nearly every image shows it."""
    shares = _by_class(figures, "answer_share_class_")
    if not shares:
        return None
    label, record = max(shares.items(), key=lambda one: one[1].value)
    shown = _support(figures).get(label, 0) / record.n
    return (label, record) if record.value >= NEARLY_ALL and record.low > shown else None


def _never(figures: Figures) -> list[int]:
    """Return classes that images show and no answer names."""
    shares, support = _by_class(figures, "answer_share_class_"), _support(figures)
    return [label for label, n in support.items() if n >= SEEN_OFTEN_ENOUGH and shares[label].value == 0.0]


def _rarely(figures: Figures) -> dict[int, Record]:
    """Return the sensitivities that lie wholly below chance (1/classes), of classes that nothing worse is told of.

    Up to 3/n of n images could be right where none was (the rule of three), so no interval ends below that.
    """
    support = _support(figures)
    if _top(figures) or not support:
        return {}
    never, chance = _never(figures), 1.0 / len(support)
    found = _by_class(figures, "sensitivity_class_")
    return {
        label: record
        for label, record in found.items()
        if label not in never and max(record.high, SEEN_OFTEN_ENOUGH / record.n) < chance
    }


def _beside_a_constant(figures: Figures, accuracy: str) -> str:
    """Say how accuracy and balanced accuracy compare with the majority class's rate and 1/classes.

    Empty where either is better beyond noise.
    """
    if not {accuracy, "balanced_accuracy", "majority_class_rate"} <= set(figures) or len(_support(figures)) < 2:
        return ""
    own, balanced = figures[accuracy], figures["balanced_accuracy"]
    constant, chance = figures["majority_class_rate"].value, 1.0 / len(_support(figures))
    if own.low > constant or balanced.low > chance:
        return ""
    return "worse than" if own.high < constant and balanced.high < chance else "no better, within noise, than"


def _support(figures: Figures) -> dict[int, int]:
    """Return the number of images per class."""
    return {label: record.n for label, record in _by_class(figures, "sensitivity_class_").items()}


def _by_class(figures: Figures, start: str) -> dict[int, Record]:
    return {int(name.removeprefix(start)): record for name, record in figures.items() if name.startswith(start)}


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label].replace("_", " ") if label < len(classes) else f"class {label}"


def _much(share: float) -> str:
    """Return a share of images in whole percent, never rounded up to all of them."""
    return "every image" if share == 1.0 else f"{math.floor(share * 100)} % of images"
