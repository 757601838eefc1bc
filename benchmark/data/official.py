"""The official evaluation subset of a test split: the same images for everybody, whoever draws them."""

import hashlib

from benchmark.data.card import Card
from benchmark.data.split import Split
from benchmark.errors import BenchError
from benchmark.task.build import task_of


def official_subset(card: Card, test_split: Split) -> Split:
    """Return the official images of ``test_split`` in the order of the split.

    The ids are those that the card fixes; a card without ids draws them by its rule (:func:`stratified_ids`).

    Raises:
        BenchError: the split is another data set's or not the test split, or lacks an official id.
    """
    if test_split.dataset != card.name or test_split.name != "test":
        raise BenchError(
            f"the official subset of '{card.name}' belongs to its test split, not to split '{test_split.name}' of "
            f"'{test_split.dataset}'; load split 'test' of '{card.name}'."
        )
    known = set(test_split.ids)
    # An editor may leave spaces at the end of a line of the ids file; an id that has them itself comes first.
    fixed = [name if name in known else name.strip() for name in card.official.ids]
    chosen = test_split.by_ids(fixed or stratified_ids(test_split, card.official.count, card.official.exclude))
    order = {name: place for place, name in enumerate(test_split.ids)}
    return chosen.subset(sorted(range(len(chosen)), key=lambda i: order[chosen.ids[i]]))


AT_LEAST = 8
"""Reference images of a class, as far as it has so many."""


def reference_ids(train: Split, count: int) -> list[str]:
    """Draw about ``count`` ids of the training split, stratified, but at least :data:`AT_LEAST` of each class.

    A rare class would else have one image or none, and attacks that imitate a class nothing to imitate.
    """
    chosen = set(stratified_ids(train, min(count, len(train)), []))
    for own in _strata(train, set()).values():
        chosen.update(_first_by_hash(own, AT_LEAST))
    return [name for name in train.ids if name in chosen]


def stratified_ids(split: Split, count: int, exclude: list[str]) -> list[str]:
    """Draw ``count`` ids, each class in proportion to its share of the images that are not excluded.

    Within a class the ids with the smallest SHA-256 are taken, so the choice depends on names and labels alone.
    Fractions are settled by largest remainder (ties: the lower class first). The ids come in the split's order.

    Raises:
        BenchError: fewer than ``count`` images are left.
    """
    strata = list(_strata(split, set(exclude)).values())
    total = sum(map(len, strata))
    if total < count:
        raise BenchError(
            f"split '{split.name}' of '{split.dataset}' has {total} images to choose from but {count} are asked for; "
            "lower official.count in the card."
        )
    shares = [len(names) * count / total for names in strata]
    quotas = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda c: (quotas[c] - shares[c], c))
    for label in by_remainder[: count - sum(quotas)]:
        quotas[label] += 1
    chosen: set[str] = set()
    for names, quota in zip(strata, quotas, strict=True):
        chosen.update(_first_by_hash(names, quota))
    return [name for name in split.ids if name in chosen]


def _strata(split: Split, barred: set[str]) -> dict[int, list[str]]:
    """Ids of each group of the task, of classes that of a class, the lower group first."""
    found: dict[int, list[str]] = {}
    for name, group in sorted(zip(split.ids, task_of(split).strata(split.labels), strict=True), key=lambda one: one[1]):
        if name not in barred:
            found.setdefault(group, []).append(name)
    return found


def _first_by_hash(names: list[str], count: int) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:count]
