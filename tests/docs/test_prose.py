"""The committed documents say what their scripts write: a full rerun takes too long to find out."""

import re
import sys
from pathlib import Path

import pytest

# docs is no package that is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))

import attack_parity
from ablation_sections import SECTIONS, copies
from ablation_sections.bench import ATTACKERS, Bench
from ablation_sections.document import DOCUMENT, document

from benchmark.training.methods import METHODS

TEXT = DOCUMENT.read_text("utf-8")
MEASURED_BY = next(line for line in TEXT.splitlines() if line.startswith("- Versions"))
VERDICT = re.compile(r"\*\*(confirmed|refuted|no significant difference)\*\*")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)*|(?<=\| )–(?= \|)")


def without_results(text: str) -> list[str]:
    """The prose of a document: numbers, marks and verdicts are masked; a line of results keeps its name alone."""
    lines = [line.split(": ")[0] if line.startswith("  - ") else line for line in text.replace("‡", "").splitlines()]
    return [NUMBER.sub("N", VERDICT.sub("VERDICT", line)) for line in lines]


def perfect(bench: Bench, *_: object) -> dict[str, dict[str, list[float]]]:
    count = len(bench.split.ids)
    row = {"right": [1] * count, "abstained": [0] * count, "score": [2.0] * count, "copies": [16] * count}
    return dict.fromkeys(ATTACKERS, row)


def polled(*_: object) -> dict[str, object]:
    count = copies.FEW
    return {"label": [0] * count, "right": [1] * count, "abstained": [0] * count, "copies": 16.0, "seconds": 1.0}


@pytest.fixture
def rendered(data_dir, monkeypatch) -> str:
    """A document in which no attack succeeds and every method takes four times as long as natural training."""
    del data_dir
    bench = Bench()
    monkeypatch.setattr(Bench, "defense", lambda *_: None)
    monkeypatch.setattr(Bench, "measured", perfect)
    monkeypatch.setattr(Bench, "blind_to", lambda bench, *_: bench.split.images)
    monkeypatch.setattr(Bench, "images_of", lambda bench, *_: bench.split.images)
    monkeypatch.setattr(
        Bench, "right", lambda bench, defenses, _: {name: [1] * len(bench.split.ids) for name in defenses}
    )
    monkeypatch.setattr(copies, "_polled", polled)
    costs = {method: dict.fromkeys(("seconds", "added"), [(4.0, 1.0)] * 3) for method in METHODS}
    found = {name: costs if name == "training" else section.run(bench) for name, section in SECTIONS.items()}
    parts = {name: section.tell(found[name], bench.split) for name, section in SECTIONS.items()}
    return document(parts, bench.split, 60.0, re.findall(r"\d+\.\d+\.\d+", MEASURED_BY))


def test_the_ablations_are_worded_as_the_script_words_them(rendered):
    assert without_results(TEXT) == without_results(rendered)


def test_the_prose_leaves_out_results_and_nothing_else():
    text = "Of 12 images, **refuted** (+1.5).\n\n| a | b |\n| --- | --- |\n| no noise | – |\n  - pgd_at‡, clean: 4"
    assert without_results(text) == [
        "Of N images, VERDICT (N).",
        "",
        "| a | b |",
        "| --- | --- |",
        "| no noise | N |",
        "  - pgd_at, clean",
    ]


PARITY = attack_parity.DOCUMENT.read_text("utf-8")
VERSION = re.compile(r"(?<= )\d+(\.\d+)+(?=[,.:])")
CELLS = [
    tuple(cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|"))
    for line in PARITY.splitlines()
    if line.startswith("| ")
][2:]


def test_the_table_of_parity_is_worded_as_the_script_words_it():
    assert VERSION.sub("V", PARITY) == VERSION.sub("V", attack_parity.document(CELLS))


def test_the_table_of_parity_has_the_scripts_comparisons_and_notes():
    expected = [
        (line.title, f"{classes}, natural" if line.natural else str(classes), peer.package, peer.name, peer.note)
        for line in attack_parity.LINES
        for classes in line.classes
        for peer in line.peers
    ]
    written = [(title, classes, *_peer(peer), note) for title, _, classes, _, peer, _, note in CELLS]
    assert written == expected


def _peer(cell: str) -> tuple[str, str]:
    package, name = re.fullmatch(r"(?:no peer; |(\S+) \S+: )(.*)", cell).groups()
    return package or "", name
