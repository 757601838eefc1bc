"""BENCHMARK.md shows the matrix that is in force."""

from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.matrix.markdown import BEGIN, END, block, render, write_into
from benchmark.matrix.model import load_matrix

RULES = Path(__file__).resolve().parents[2] / "BENCHMARK.md"


def test_the_rules_show_exactly_the_matrix_in_force() -> None:
    assert block() in RULES.read_text(encoding="utf-8"), "run 'bench matrix --write'"


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


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}\n"])
def test_rules_without_both_markers_are_refused_and_kept(text: str, tmp_path: Path) -> None:
    path = tmp_path / "BENCHMARK.md"
    path.write_text(text)
    with pytest.raises(BenchError, match="put them where the matrix is to stand"):
        write_into(path)
    assert path.read_text() == text


def test_missing_rules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="is missing; restore it"):
        write_into(tmp_path / "BENCHMARK.md")
