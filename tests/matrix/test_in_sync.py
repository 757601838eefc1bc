"""docs/matrix.md shows the matrix that is in force, and which of its cells decide in the official rows."""

from pathlib import Path

import pytest

from benchmark.attacks import build
from benchmark.cli.listings import evidence_text
from benchmark.errors import BenchError
from benchmark.matrix.markdown import (
    BEGIN,
    END,
    EVIDENCE_BEGIN,
    EVIDENCE_END,
    UNDECIDED,
    UNMET,
    block,
    render,
    render_evidence,
    write_into,
)
from benchmark.matrix.model import load_matrix
from leaderboard.entries import entries_in

from ..leaderboard.conftest import Pretend, write

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "docs" / "matrix.md"
OFFICIAL = ROOT / "leaderboard" / "results"
BOTH = f"{BEGIN}\n{END}\n{EVIDENCE_BEGIN}\n{EVIDENCE_END}\n"


def test_the_rules_show_exactly_the_matrix_in_force() -> None:
    assert block() in RULES.read_text(encoding="utf-8"), "run 'bench matrix --write'"


def evidence_in(text: str) -> str:
    """What stands between the markers of the evidence."""
    return text.split(f"{EVIDENCE_BEGIN}\n")[1].split(f"\n{EVIDENCE_END}")[0]


def test_the_rules_name_exactly_the_entries_with_official_rows_under_the_matrix_in_force() -> None:
    """What their cells decide is computed from all of their rows, by 'bench matrix --write'."""
    matrix, digest = load_matrix()
    entries = [
        f"{entry.submission} on {entry.dataset}"
        for entry in entries_in([OFFICIAL])
        if entry.official
        and "white-box" in entry.held.tracks
        and digest in entry.held.facts("white-box")["matrix_hash"]
    ]
    counted = sum(not cell.unranked for cell in matrix.cell)
    named = render_evidence(matrix.version, entries, counted, []).partition("Official rows: ")[2]
    assert named
    assert named in evidence_in(RULES.read_text(encoding="utf-8")), "official rows changed: run 'bench matrix --write'"


@pytest.mark.slow
def test_the_rules_mark_exactly_the_cells_that_are_idle_in_the_official_rows() -> None:
    fresh = evidence_text(OFFICIAL)
    assert evidence_in(RULES.read_text(encoding="utf-8")) == fresh, "official rows changed: run 'bench matrix --write'"


def test_what_is_written_into_the_rules_is_what_the_rows_say(tmp_path: Path) -> None:
    _, digest = load_matrix()
    falls = {("white-box", "fgsm", 0): 4.0}
    rows = Pretend("natural", falls=falls, frames=2, corrupted=1, changes={"matrix_hash": digest}).rows()
    (tmp_path / "BENCHMARK.md").write_text(f"before\n{BOTH}after\n")
    told = evidence_text(write(tmp_path / "rows", rows))
    assert write_into(tmp_path / "BENCHMARK.md", told)
    text = (tmp_path / "BENCHMARK.md").read_text()
    assert evidence_in(text) == told
    assert block() in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "- white-box `apgd-ce` (L∞): " in told
    assert "- white-box `fgsm` (L∞): " not in told
    assert not write_into(tmp_path / "BENCHMARK.md", told)


def test_an_idle_cell_has_a_line_with_its_mark() -> None:
    matrix, _ = load_matrix()
    lines = render_evidence("1", ["natural on films"], 9, [(matrix.cell[0], "it broke none")]).splitlines()
    assert "Of the 9 ranked cells of matrix version 1, 8 " in lines[0]
    assert lines[-1] == f"- {matrix.cell[0].track} `{matrix.cell[0].name}` (L∞): {UNDECIDED}; it broke none."


def test_a_cell_that_no_entry_met_says_so_and_what_it_needs() -> None:
    matrix, _ = load_matrix()
    cell = next(cell for cell in matrix.cell if cell.needs == "detector")
    lines = render_evidence("1", ["natural on films"], 9, [(cell, "")]).splitlines()
    assert lines[-1] == f"- {cell.track} `{cell.name}` (L∞): {UNMET} (needs a detector)."


def test_unranked_is_said_of_no_counted_cell() -> None:
    assert "unranked" not in UNDECIDED + UNMET


def test_entries_are_named_by_data_set() -> None:
    text = render_evidence("1", ["natural on films", "natural on skin", "pgd_at on films"], 9, [])
    assert text.endswith("Official rows: films (natural, pgd_at); skin (natural).")


def test_a_matrix_without_official_rows_says_so_and_marks_nothing(tmp_path: Path) -> None:
    assert evidence_text(tmp_path / "none").endswith(
        "has no official rows yet: which of its cells decide is not known."
    )


def test_every_cell_has_its_line_with_parameters_and_source() -> None:
    matrix, digest = load_matrix()
    lines = [line for line in render(matrix, digest).splitlines() if line.startswith("| ")][2:]
    assert len(lines) == len(matrix.cell)
    for line, cell in zip(lines, matrix.cell, strict=True):
        assert line.startswith(f"| {cell.track} | {cell.name} |")
        assert cell.source in line
        assert all(name in line for name in cell.params)


def test_a_bar_in_a_text_does_not_break_the_table() -> None:
    matrix, digest = load_matrix()
    barred = matrix.cell[0].model_copy(update={"knowledge": "a | b"})
    text = render(matrix.model_copy(update={"cell": [barred]}), digest)
    line = next(line for line in text.splitlines() if line.startswith(f"| {barred.track}"))
    assert line.replace("\\|", "").count("|") == text.splitlines()[2].count("|")


@pytest.mark.parametrize(
    "text", [BOTH.replace(marker, "") for marker in (BEGIN, END, EVIDENCE_BEGIN, EVIDENCE_END)] + [f"{END}\n{BEGIN}\n"]
)
def test_rules_without_all_markers_are_refused_and_kept(text: str, tmp_path: Path) -> None:
    path = tmp_path / "BENCHMARK.md"
    path.write_text(text)
    with pytest.raises(BenchError, match=r"put them where the (matrix is|cells that decide are) to be"):
        write_into(path, "nothing")
    assert path.read_text() == text


def test_missing_rules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="is missing; restore it"):
        write_into(tmp_path / "BENCHMARK.md", "nothing")


@pytest.mark.parametrize("profile", ["official", "quick"])
@pytest.mark.parametrize("stochastic", [True, False])
def test_every_cell_can_be_built_with_the_budgets_of_every_profile(profile: str, stochastic: bool) -> None:
    matrix, _ = load_matrix()
    offers = {cell.needs for cell in matrix.cell}
    cells = [
        cell
        for track in {cell.track for cell in matrix.cell}
        for cell in matrix.cells(track, stochastic=stochastic, has=offers, profile=profile)
    ]
    assert len(cells) > 40
    for cell in cells:
        build(cell.method, cell.params)
