"""The table of peers covers every attack and states where ours is weaker."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark.attacks.registry import ATTACKS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "attack_parity.md"


@dataclass(frozen=True)
class Row:
    attack: str
    classes: str
    ours: float
    peer: str
    theirs: float
    note: str

    @property
    def name(self) -> str:
        return self.attack.split(" (")[0]

    @property
    def title(self) -> str:
        return f"{self.attack}, {self.classes} classes, {self.peer}"


def share(cell: str) -> float:
    return float(cell.split(" %")[0]) / 100


def read(text: str) -> list[Row]:
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [Row(c[0], c[2], share(c[3]), c[4], share(c[5]), c[6]) for c in cells]


ROWS = read(DOCUMENT.read_text("utf-8"))


PEERS = {"torchattacks", "pyautoattack"}
"""Cells that run other libraries: what ours are compared with."""


@pytest.mark.parametrize("attack", sorted(set(ATTACKS) - PEERS))
def test_every_attack_of_the_registry_has_a_line(attack):
    assert attack in {row.name for row in ROWS}


def test_no_line_is_of_an_attack_that_the_registry_does_not_have():
    assert {row.name for row in ROWS} - {"AutoAttack"} <= set(ATTACKS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_ours_is_no_weaker_by_more_than_a_point_or_the_note_says_why(row):
    assert row.ours <= row.theirs + 0.01 + 1e-9 or row.note


def test_the_summary_names_every_line_on_which_ours_is_weaker():
    summary = DOCUMENT.read_text("utf-8").split("## Summary")[1]
    for row in ROWS:
        if row.ours > row.theirs + 0.01 + 1e-9:
            assert f"against {row.peer.removeprefix('no peer; ')}. " in summary
            assert row.attack in summary


def test_the_summary_lists_only_what_is_weaker_by_more_than_a_point_and_says_so():
    summary = DOCUMENT.read_text("utf-8").split("## Summary")[1]
    heads = [line for line in summary.splitlines() if line.endswith(":")]
    assert len(heads) == 2
    assert all("by more than a point" in head for head in heads)
    assert all(float(points) > 1 for points in re.findall(r"^- .*: by ([\d.]+) points", summary, re.MULTILINE))


def test_the_suite_is_compared_with_the_standard_version_on_ten_classes():
    (row,) = [row for row in ROWS if row.attack == "AutoAttack" and row.classes == "10"]
    assert row.peer.startswith("pyautoattack ")
    assert row.peer.endswith("standard")


def test_the_reader_takes_accuracy_peer_and_note_from_a_line():
    line = "| pgd (margin) | L-inf, 8/255 | 2, natural | 31.5 %, 0.10 s | foolbox 3: PGD | 30.0 %, 2.00 s | why |"
    (row,) = read(f"| attack |\n| --- |\n{line}\n")
    assert (row.name, row.classes, row.ours, row.peer, row.theirs, row.note) == (
        "pgd",
        "2, natural",
        0.315,
        "foolbox 3: PGD",
        0.3,
        "why",
    )
