"""Splits that no patient is torn between, the same on every machine."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from benchmark.data.card import SplitName
from benchmark.errors import BenchError
from benchmark.intake.found import Found

TEST_SHARE, VAL_SHARE = 0.2, 0.1
"""Shares of the patients that are drawn for test and validation."""

DRAWN = (
    "Patients were drawn by the SHA-256 of their names, within the rarest of each one's classes: a fifth for test, a "
    "tenth for validation, the others for training."
)
DRAWN_VAL = (
    "The data had no validation split: a tenth of the training patients was drawn for it, by the SHA-256 of their "
    "names within the rarest of each one's classes."
)


def with_splits(images: Sequence[Found]) -> tuple[list[Found], str]:
    """Give every image a split, where the data have not; returns the images, and in words how splits were made.

    Raises:
        BenchError: a class has too few patients to be in every split, or the data have no test images.
    """
    given = {image.split for image in images}
    if given == {None}:
        drawn = _drawn(images, {"test": TEST_SHARE, "val": VAL_SHARE}, "train")
        return [replace(image, split=drawn[image.patient]) for image in images], DRAWN
    if "test" not in given:
        raise BenchError("the data have no test images; put some into the split test, or let all splits be drawn.")
    if "train" not in given:
        return list(images), "As the data have them; for tests alone."
    if "val" not in given:
        training = [image for image in images if image.split == "train"]
        drawn = _drawn(training, {"val": VAL_SHARE}, "train")
        moved = [replace(image, split=drawn[image.patient]) if image.split == "train" else image for image in images]
        return moved, DRAWN_VAL
    return list(images), "As the data have them."


def _drawn(images: Sequence[Found], shares: dict[SplitName, float], rest: SplitName) -> dict[str, SplitName]:
    """A split for each patient. At least one patient of each class comes to each split."""
    common = Counter(image.label for image in images)
    of_patient: dict[str, set[str]] = defaultdict(set)
    for image in images:
        of_patient[image.patient].add(image.label)
    by_class: dict[str, list[str]] = {label: [] for label in sorted(common)}
    for patient, labels in of_patient.items():
        by_class[min(labels, key=lambda label: (common[label], label))].append(patient)
    split: dict[str, SplitName] = {}
    for patients in by_class.values():
        ordered = sorted(patients, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest())
        begin = 0
        for name, share in shares.items() if len(ordered) > len(shares) else ():
            end = begin + max(1, round(share * len(ordered)))
            split.update(dict.fromkeys(ordered[begin:end], name))
            begin = end
        split.update(dict.fromkeys(ordered[begin:], rest))
    _refuse_absent(images, of_patient, split, {*shares, rest})
    return split


def _refuse_absent(
    images: Sequence[Found], of_patient: dict[str, set[str]], split: dict[str, SplitName], splits: set[SplitName]
) -> None:
    there = {(image.label, split[image.patient]) for image in images}
    for label in sorted({image.label for image in images}):
        if any((label, name) not in there for name in splits):
            count = sum(label in labels for labels in of_patient.values())
            raise BenchError(
                f"class '{label}' has only {count} patients (or images, where patients are not known), too few to be "
                "in every split; give --split COL, or leave the class out."
            )


def torn_patients(images: Sequence[Found]) -> list[str]:
    """Patients with images in two splits or more, sorted."""
    splits: dict[str, set[SplitName | None]] = defaultdict(set)
    for image in images:
        splits[image.patient].add(image.split)
    return sorted(patient for patient, held in splits.items() if len(held) > 1)
