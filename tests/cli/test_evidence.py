"""``bench matrix --evidence``: which cells decide in the rows."""

import json
from pathlib import Path

import pytest

from benchmark.matrix.model import load_matrix

SOURCE = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(bench):
    """``bench`` on the shipped project."""
    return lambda *arguments: bench("--root", SOURCE, *arguments)


def test_the_official_rows_tell_of_cells_what_they_decided(here):
    document = json.loads(here("matrix", "--evidence", "--json").out)
    assert document["sparing_against_individual"] == []
    assert document["studies"]
    for study in document["studies"]:
        assert not study["individual"]
        assert all(cell["idle"] == (cell["first"] == 0 and not cell["unranked"]) for cell in study["cells"])
        assert all(cell["first"] <= cell["felled"] <= cell["attacked"] for cell in study["cells"])
        assert any(cell["first"] for cell in study["cells"])


def test_the_table_names_the_matrix_and_says_how_each_cell_fares(here):
    answer = here("matrix", "--evidence")
    assert answer.code == 0, answer.err
    assert "decides" in answer.out
    assert "First: felled by no cell run before" in answer.out
    assert "Skipping against --individual" not in answer.out


def test_no_rows_are_said_to_be_none(here, tmp_path):
    assert f"no rows of attacks in {tmp_path}" in here("matrix", "--evidence", "--results", tmp_path).out


def test_a_missing_folder_is_refused(here, tmp_path):
    assert "does not exist" in here("matrix", "--evidence", "--results", tmp_path / "none").sentence


@pytest.mark.parametrize("other", ["--cost", "--write", "--markdown"])
def test_evidence_goes_with_no_other_answer(here, other):
    assert "exclude each other; give one," in here("matrix", "--evidence", other).sentence


def test_writing_marks_the_idle_cells_of_the_official_rows(here):
    from benchmark.cli.listings import evidence_text

    matrix, digest = load_matrix()
    found = json.loads(here("matrix", "--evidence", "--json").out)["studies"]
    idle = {
        (cell["track"], cell["attack"])
        for study in found
        if study["matrix_hash"] == digest
        for cell in study["cells"]
        if cell["idle"]
    }
    text = evidence_text(SOURCE / "leaderboard" / "results")
    marked = {(cell.track, cell.name) for cell in matrix.cell if f"- {cell.track} `{cell.name}` " in text}
    assert idle <= marked
