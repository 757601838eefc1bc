"""``bench matrix --evidence``: which cells decide in the rows."""

import json

import pytest

from benchmark.cli.listings import evidence_text
from benchmark.matrix.model import load_matrix

from ..leaderboard.conftest import Pretend, write

MATRIX, DIGEST = load_matrix()
SMALL = {"frames": 2, "corrupted": 1, "changes": {"matrix_hash": DIGEST}}
FALLS = {("white-box", "fgsm", 0): 4.0, ("white-box", "pgd-20", 1): 8.0, ("adaptive", "pgd-20", 0): 4.0}


@pytest.fixture
def here(board):
    """``bench`` on a board of two pretend entries that were run under the matrix in force."""
    return board(Pretend("natural", falls=FALLS, **SMALL), Pretend("pgd_at", **SMALL))


def test_the_official_rows_tell_of_cells_what_they_decided(here):
    document = json.loads(here("matrix", "--evidence", "--json").out)
    (study,) = document["studies"]
    assert (study["matrix_hash"], study["individual"]) == (DIGEST, False)
    assert study["entries"] == ["natural on films", "pgd_at on films"]
    told = {(cell["track"], cell["attack"]): cell for cell in study["cells"]}
    assert {place for place, cell in told.items() if not cell["idle"]} == {
        ("white-box", "fgsm"), ("white-box", "pgd-20"), ("adaptive", "pgd-20"),
    }  # fmt: skip
    fgsm = told["white-box", "fgsm"]
    assert (fgsm["broken"], fgsm["first"], fgsm["largest_eps_255"]) == (1, 1, 4.0)


def test_the_table_names_the_matrix_and_says_how_each_cell_fares(here):
    answer = here("matrix", "--evidence")
    assert answer.code == 0, answer.err
    assert "Matrix version 1: skipping runs" in answer.out
    assert "decides" in answer.out
    assert "First: broken by no cell run before" in answer.out
    assert "Skipping against --individual" not in answer.out


def test_a_folder_with_both_kinds_of_runs_is_compared(here, tmp_path):
    write(tmp_path / "both" / "skipping", Pretend("natural", falls=FALLS, **SMALL).rows())
    individual = Pretend("natural", falls=FALLS, skip=False, frames=2, corrupted=1)
    alone = [one | {"matrix_hash": DIGEST, "individual": True} for one in individual.rows()]
    write(tmp_path / "both" / "individual", alone)
    told = here("matrix", "--evidence", "--results", tmp_path / "both")
    assert told.code == 0, told.err
    assert "every cell on every image" in told.out
    assert "Skipping against --individual" in told.out


def test_no_rows_are_said_to_be_none(here, tmp_path):
    (tmp_path / "empty").mkdir()
    told = here("matrix", "--evidence", "--results", tmp_path / "empty").out
    assert f"no rows of attacks in {tmp_path / 'empty'}" in told


def test_a_missing_folder_is_refused(here, tmp_path):
    assert "does not exist" in here("matrix", "--evidence", "--results", tmp_path / "none").sentence


@pytest.mark.parametrize("other", ["--cost", "--write", "--markdown"])
def test_evidence_goes_with_no_other_answer(here, other):
    assert "exclude each other; give one," in here("matrix", "--evidence", other).sentence


def test_writing_marks_the_idle_cells_of_the_official_rows(here, tmp_path):
    cells = json.loads(here("matrix", "--evidence", "--json").out)["studies"][0]["cells"]
    idle = {(cell["track"], cell["attack"]) for cell in cells if cell["idle"]}
    decides = {(cell["track"], cell["attack"]) for cell in cells} - idle
    text = evidence_text(tmp_path / "board" / "leaderboard" / "results")
    marked = {(cell.track, cell.name) for cell in MATRIX.cell if f"- {cell.track} `{cell.name}` " in text}
    counted = {(cell.track, cell.name) for cell in MATRIX.cell if not cell.unranked}
    assert marked == counted - decides >= idle & counted
    assert "Official rows: films (natural, pgd_at)." in text
