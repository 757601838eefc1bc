"""Which cells the matrix asks of which entry."""

import pytest

from benchmark.matrix import load_matrix
from leaderboard.entries import entries
from leaderboard.ranking import rank
from leaderboard.requirements import required

MATRIX, DIGEST = load_matrix()


@pytest.fixture
def needed(table, pretend):
    """The cells that an entry with these changes must have, as (track, attack) -> budgets."""

    def find(tracks=MATRIX.attack_tracks, **changes):
        rows = pretend("one", attacked=1, tracks=tracks).rows()
        for row in rows:
            row.update(matrix_hash=DIGEST)
            row.update(changes)
        (entry,) = entries(table(rows))
        found = {}
        for track, attack, norm, eps in required(MATRIX, DIGEST).cells(entry):
            assert norm == "linf"
            found.setdefault((track, attack), set()).add(eps)
        return found

    return find


def test_a_deterministic_defense_needs_every_cell_that_meets_it(needed):
    wanted = {(cell.track, cell.name) for cell in MATRIX.cell if cell.applies(stochastic=False)}
    assert set(needed()) == wanted


def test_a_randomised_defense_needs_the_cells_for_randomised_ones(needed):
    wanted = {(cell.track, cell.name) for cell in MATRIX.cell if cell.applies(stochastic=True)}
    assert set(needed(draws=5, right_draws=5)) == wanted


def test_of_a_track_that_is_missing_as_a_whole_no_cell_is_asked(needed):
    assert {track for track, _ in needed(tracks=("white-box", "adaptive"))} == {"white-box", "adaptive"}


def test_a_plain_classifiers_adaptive_track_needs_its_white_box_cells(table, pretend):
    rows = pretend("one", attacked=1, tracks=("white-box", "adaptive")).rows()
    for row in rows:
        row.update(matrix_hash=DIGEST, same_as="white-box" if row["track"] == "adaptive" else "")
    (entry,) = entries(table(rows))
    found = required(MATRIX, DIGEST).cells(entry)
    assert {c[1:] for c in found if c[0] == "adaptive"} == {c[1:] for c in found if c[0] == "white-box"}


def test_a_quick_run_needs_the_budgets_of_its_profile_alone(needed):
    wanted = set(MATRIX.profile_named("quick").eps_255)
    assert all(budgets == wanted for budgets in needed(profile="quick").values())


def test_of_another_matrix_nothing_is_known(needed):
    assert needed(matrix_hash="f" * 64) == {}


def test_an_official_entry_that_skipped_cells_of_the_matrix_is_not_ranked(table, pretend):
    (standing,) = rank(table(pretend("one", changes={"matrix_hash": DIGEST})))
    assert standing.rank is None
    assert "no verdict in adaptive fab-t at 1, 2, 4, 8/255 for 10 of 10 images" in standing.reasons
