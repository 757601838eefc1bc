"""Broken manifests and weight files: one sentence, exit code 2."""

from collections.abc import Callable
from pathlib import Path

import pytest

CHANGES = {
    "unknown field": ('title = "mine', 'titel = "mine', "field 'titel' is unknown. Did you mean 'title'?"),
    "missing field": ('task = "classification"\n', "", "field 'task' is missing; add it"),
    "no TOML": ('name = "mine"', 'name = "mine', "is not valid TOML"),
    "another name than the folder's": ('name = "mine"', 'name = "yours"', "but the folder is 'mine'; make them equal"),
    "a name that no folder can have": ('name = "mine"', 'name = "../mine"', "field 'name'"),
    "unknown task": ('"classification"', '"detection of lies"', "field 'task'"),
    "unknown family": ('defense_family = "none"', 'defense_family = "magic"', "field 'defense_family'"),
    "no data set": (
        'datasets = ["synthetic_cxr", "pneumoniamnist"]',
        "datasets = []",
        "field 'datasets'",
    ),
    "revision nought": ("revision = 1", "revision = 0", "field 'revision'"),
    "text for a number": ("revision = 1", 'revision = "first"', "field 'revision'"),
    "text for yes or no": ("stochastic = false", 'stochastic = "maybe"', "field 'stochastic'"),
    "entry point without a function": ('"defense.py:build"', '"defense.py"', "field 'entry_point'"),
    "entry point outside the folder": ('"defense.py:build"', '"../x.py:build"', "field 'entry_point'"),
    "pickled weights": (
        "weights/pneumoniamnist.safetensors",
        "weights/model.pth",
        "is not a .safetensors file; convert it",
    ),
    "weights outside the folder": (
        "weights/pneumoniamnist.safetensors",
        "../other.safetensors",
        "must lie inside the submission's folder",
    ),
    "checksum too short": ('sha256 = "', 'sha256 = "abc"  # ', "field 'weights."),
    "weights for an unnamed data set": (
        "[weights.pneumoniamnist]",
        "[weights.dermamnist]",
        "is not in datasets; add it",
    ),
}


def change(project: Path, old: str, new: str) -> None:
    path = project / "submissions" / "mine" / "submission.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("case", CHANGES)
def test_a_broken_manifest_stops_an_evaluation_with_one_sentence(
    case: str, bench: Callable[..., object], project: Path
) -> None:
    old, new, words = CHANGES[case]
    change(project, old, new)
    answer = bench("--root", project, "evaluate", "mine", "--track", "clean")
    assert words in answer.sentence  # type: ignore[attr-defined]
    assert "submission.toml" in answer.sentence  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", CHANGES)
def test_a_broken_manifest_is_a_failed_check_of_validate(
    case: str, bench: Callable[..., object], project: Path
) -> None:
    old, new, words = CHANGES[case]
    change(project, old, new)
    answer = bench("--root", project, "validate", "mine", "--json")
    assert "breaks the contract (manifest)" in answer.sentence  # type: ignore[attr-defined]
    assert words in answer.out.replace('\\"', '"')  # type: ignore[attr-defined]
