"""Our numbers beside those that papers print: same defense, same attack, same budget, and what differs otherwise."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from benchmark.data.card import Card
from benchmark.matrix import Matrix
from benchmark.matrix.rules import rules
from benchmark.submission.manifest import Manifest
from leaderboard.published.background import Background, background
from leaderboard.published.table import PublishedNumber, read_published
from leaderboard.published.vocabulary import family
from leaderboard.record import ALL_TRACKS, HEADLINE, WORST_CASE, Record

EntryKey = tuple[str, str, bool]
"""(submission, data set, official)."""


@dataclass(frozen=True)
class Setting:
    """What is known of our side: manifests by submission, cards by data set, and the matrix."""

    matrix: Matrix
    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    cards: Mapping[str, Card] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A published number, ours for the same attack and budget, and our worst case of all tracks at that budget.

    ``same_defense`` is false where only the family is the same. ``differs`` holds one clause per thing that differs.
    ``background`` is what ours has to be read against.
    """

    published: PublishedNumber
    ours: Record
    worst: Record | None
    same_defense: bool
    differs: tuple[str, ...]
    background: Background

    @property
    def difference(self) -> float:
        """Ours less theirs, in [-1, 1]."""
        return self.ours.value - self.published.value


def side_by_side(
    records: Iterable[Record],
    setting: Setting,
    numbers: Sequence[PublishedNumber] | None = None,
    family: bool = False,
) -> list[Pair]:
    """Pair every sound published number with each entry that has the same defense, attack, track and budget.

    An entry's defense is found by its submission's name. Numbers that were set aside are never paired, nor are those
    whose budget is not stated.

    Args:
        records: from :func:`leaderboard.metrics.records`.
        setting: what is known of our side.
        numbers: published numbers, by default those that ship with the benchmark.
        family: where no paper here prints an entry's defense, let others of its family stand in, and say so.

    Returns:
        Pairs by entry, by published experiment (those on the same data set first), by track, budget and attack.
    """
    sound = _once(one for one in (read_published() if numbers is None else numbers) if not one.set_aside)
    own: dict[EntryKey, dict[tuple[object, ...], Record]] = {}
    for record in (one for one in records if one.known):
        place = (record.track, record.attack, record.norm, record.eps_255, record.severity, record.metric)
        own.setdefault(entry_of(record), {})[place] = record
    pairs = []
    for key, places in own.items():
        exact, candidates = _counterparts(key[0], setting.manifests.get(key[0]), sound)
        card = setting.cards.get(key[1])
        against = background(key[0], places.values(), card.classes if card else ())
        for number in candidates if exact or family else ():
            ours = _ours(places, number)
            if ours is not None:
                worst = places.get((ALL_TRACKS, WORST_CASE, number.norm, number.eps_255, None, HEADLINE))
                differs = tuple(_differences(number, ours, setting, exact))
                pairs.append(Pair(number, ours, worst, exact, differs, against))
    return sorted(pairs, key=_order)


def entry_of(record: Record) -> EntryKey:
    """Return the entry that a record belongs to."""
    return (record.submission, record.dataset, record.official)


def _once(numbers: Iterable[PublishedNumber]) -> list[PublishedNumber]:
    """Leave out what a paper repeats: the same number of the same experiment in a later table."""
    first: dict[PublishedNumber, PublishedNumber] = {}
    for one in numbers:
        first.setdefault(replace(one, table="", caveat=""), one)
    return list(first.values())


def _order(pair: Pair) -> tuple[object, ...]:
    one = pair.published
    track = rules().place_of(one.track)
    return (
        *_experiment(pair), track, one.eps_255 or 0.0, one.attack, one.steps or 0, one.metric, one.table, one.value,
    )  # fmt: skip


def _experiment(pair: Pair) -> tuple[object, ...]:
    ours, one = pair.ours, pair.published
    return (
        ours.dataset, ours.submission, not ours.official, not pair.same_defense,
        not _same_dataset(one.dataset, ours.dataset), -one.year, one.source, one.defense,
        one.dataset, one.task, one.model, one.setting,
    )  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """The pairs of one entry and one published experiment, with what differs in all of them said once."""

    pairs: tuple[Pair, ...]
    differs: tuple[str, ...]

    @property
    def ours(self) -> Record:
        """Any of our records, for the entry's names."""
        return self.pairs[0].ours

    @property
    def theirs(self) -> PublishedNumber:
        """Any of the published numbers, for the experiment's names."""
        return self.pairs[0].published

    @property
    def background(self) -> Background:
        """What the entry's accuracy has to be read against."""
        return self.pairs[0].background

    def rest(self, pair: Pair) -> tuple[str, ...]:
        """Return what differs in this pair alone."""
        return tuple(clause for clause in pair.differs if clause not in self.differs)


def experiments(pairs: Iterable[Pair]) -> list[Experiment]:
    """Group pairs (as :func:`side_by_side` sorts them) by entry and published experiment."""
    found = []
    for _, group in groupby(pairs, key=_experiment):
        members = tuple(group)
        shared = tuple(one for one in members[0].differs if all(one in other.differs for other in members))
        found.append(Experiment(members, shared))
    return found


def is_of(submission: str, defense: str) -> bool:
    """Tell whether a submission is, by its name, a published defense, perhaps with something more."""
    return submission == defense or submission.startswith(f"{defense}_")


def _counterparts(
    submission: str, manifest: Manifest | None, numbers: Sequence[PublishedNumber]
) -> tuple[bool, list[PublishedNumber]]:
    """Return whether the very defense is published, and the numbers of it or else of its family."""
    names = {one.defense for one in numbers if one.unit == "share"}
    own = [name for name in names if is_of(submission, name)]
    if own:
        nearest = max(own, key=len)
        return True, [one for one in numbers if one.defense == nearest]
    kind = manifest.defense_family if manifest else family(submission)
    # Without a defense there is but one: an entry of that family is not any published model's equal.
    return False, [one for one in numbers if kind and kind != "none" and one.family == kind]


_CLEAN = ("accuracy", "auc")


def _ours(places: Mapping[tuple[object, ...], Record], number: PublishedNumber) -> Record | None:
    """Find our record of the same attack at the same budget."""
    if not (number.task == "binary" or number.task.startswith("multiclass")):
        return None
    if number.track == "clean":
        return places.get(("clean", "none", "", None, None, number.metric)) if number.metric in _CLEAN else None
    if number.track == "corruption":
        return places.get(("corruption", number.attack, "", None, None, number.metric))
    if number.metric != "accuracy" or number.eps_255 is None:
        return None
    for metric in (HEADLINE, f"{HEADLINE}_cumulative"):
        for attack in (number.attack, number.attack.removesuffix(f"-{number.steps}")):
            found = places.get((number.track, attack, number.norm, number.eps_255, None, metric))
            if found is not None:
                return found
    return None


def _differences(number: PublishedNumber, ours: Record, setting: Setting, exact: bool) -> Iterable[str]:
    card = setting.cards.get(ours.dataset)
    manifest = setting.manifests.get(ours.submission)
    if not exact:
        yield f"another defense of the same family: {number.defense}"
    elif manifest is not None and ours.submission != number.defense:
        # Its name begins with the printed one's: the same idea, with something more or over another classifier.
        yield f"defense here: {manifest.title}"
    if number.setting:
        yield f"defense there: {number.setting}"
    yield from _data(number, ours, card)
    if manifest is not None and manifest.architecture != number.model:
        yield f"architecture {number.model} there, {manifest.architecture} here"
    yield from _effort(number, ours, setting, manifest)
    if ours.track == "white-box" and number.adaptive in ("unstated", "yes"):
        there = "not stated there" if number.adaptive == "unstated" else "yes there"
        yield f"whether the attack knew of the defense: {there}, no here"
    if ours.metric.endswith("_cumulative"):
        yield "ours also counts images misclassified under earlier attacks"
    if number.caveat:
        yield f"note: {number.caveat}"


def _data(number: PublishedNumber, ours: Record, card: Card | None) -> Iterable[str]:
    if not _same_dataset(number.dataset, ours.dataset):
        here = f"{ours.dataset} ({card.modality})" if card else ours.dataset
        yield f"data set {number.dataset} ({number.modality}) there, {here} here"
    classes = _classes(number.task)
    if card is not None and classes is not None and classes != len(card.classes):
        yield f"{classes} classes there, {len(card.classes)} here"
    if card is not None and number.image_size != card.size:
        here = str(card.size) if isinstance(card.size, int) else card.pixels
        yield f"image side {_told(number.image_size)} there, {here} here"
    if number.test_images != ours.n:
        yield f"number of images {_told(number.test_images)} there, {ours.n} here"


def _effort(number: PublishedNumber, ours: Record, setting: Setting, manifest: Manifest | None) -> Iterable[str]:
    """Tell of steps, queries or losses where ours or theirs has any and they differ."""
    for cell in setting.matrix.cell:
        if (cell.track, cell.name, cell.norm) == (ours.track, ours.attack, ours.norm):
            params = {**cell.params, **(cell.stochastic if manifest is not None and manifest.stochastic else {})}
            # Papers count Square's queries; of other black-box attacks they print the iterations, of many queries each.
            unit = "queries" if ours.attack == "square" else "steps"
            if unit in params and params[unit] != number.steps:
                yield f"{unit} {_told(number.steps)} there, {params[unit]} here"
            elif unit == "steps" and "queries" in params:
                yield f"iterations {_told(number.steps)} there, queries {params['queries']} here"
    if number.source == "Survey" and number.attack == "autoattack":
        yield "its AutoAttack ascends a targeted cross-entropy in place of the targeted DLR loss"


def _told(value: int | None) -> str:
    return "not stated" if value is None else str(value)


def _classes(task: str) -> int | None:
    if task == "binary":
        return 2
    digits = task.removeprefix("multiclass")
    return int(digits) if digits.isdigit() else None


def _same_dataset(theirs: str, ours: str) -> bool:
    """Tell whether both names mean one data set; ours may end in the image side, as ``isic2017_64`` does."""
    plain = re.sub(r"[^a-z0-9]", "", theirs.lower())
    return plain == re.sub(r"[^a-z0-9]", "", re.sub(r"_\d+$", "", ours.lower()))


def as_plain(pair: Pair) -> dict[str, object]:
    """Return a pair as plain values for JSON; a number that does not exist is None."""

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    def of(record: Record | None) -> float | None:
        return None if record is None else finite(record.value)

    one, ours = pair.published, pair.ours
    return {
        "submission": ours.submission,
        "dataset": ours.dataset,
        "official": ours.official,
        "track": ours.track,
        "attack": ours.attack,
        "norm": ours.norm,
        "eps_255": ours.eps_255,
        "metric": ours.metric,
        "ours": of(ours),
        "low": finite(ours.low),
        "high": finite(ours.high),
        "n": ours.n,
        "worst_case": of(pair.worst),
        "clean_accuracy": of(pair.background.accuracy),
        "balanced_accuracy": of(pair.background.balanced),
        "majority_class_rate": of(pair.background.constant),
        "marks": list(pair.background.marks),
        "published": one.value,
        "source": one.source,
        "title": one.title,
        "table": one.table,
        "published_dataset": one.dataset,
        "published_model": one.model,
        "published_defense": one.defense,
        "published_attack": one.printed_attack,
        "same_defense": pair.same_defense,
        "differs": list(pair.differs),
    }
