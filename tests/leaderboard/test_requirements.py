"""Which cells the matrix asks of which entry."""

import pytest

from benchmark.matrix import load_matrix
from leaderboard.entries import entries
from leaderboard.metrics import headline, records
from leaderboard.ranking import rank
from leaderboard.requirements import required
from leaderboard.verdicts import verdicts

from .conftest import gap

MATRIX, DIGEST = load_matrix()
NEEDS = sorted({cell.needs for cell in MATRIX.cell} - {""})


def met(*has, stochastic=False):
    """The cells that a defense of this kind meets, as (track, cell, norm) -> budgets, read off the matrix file."""
    kinds = ("always", "stochastic" if stochastic else "deterministic")
    return {
        (cell.track, cell.name, cell.norm): set(cell.eps_255)
        for cell in MATRIX.cell
        if cell.when in kinds and cell.needs in ("", *has)
    }


@pytest.fixture
def needed(table, pretend):
    """The cells that an entry with these changes must have, as (track, cell, norm) -> budgets.

    ``ran`` names a cell that the adaptive track has rows of, beside the pretend entry's own.
    """

    def find(tracks=MATRIX.attack_tracks, ran=None, **changes):
        rows = pretend("one", attacked=1, tracks=tracks, changes={"matrix_hash": DIGEST, **changes}).rows()
        if ran:
            rows.append({**rows[-1], "attack": ran})
        (entry,) = entries(table(rows))
        found = {}
        for track, attack, norm, eps in required(MATRIX, DIGEST).cells(entry):
            found.setdefault((track, attack, norm), set()).add(eps)
        return found

    return find


def test_a_deterministic_defense_needs_every_cell_that_meets_it_at_every_budget(needed):
    assert needed() == met()


def test_a_randomised_defense_needs_the_cells_for_randomised_ones(needed):
    assert needed(draws=5, right_draws=5) == met(stochastic=True)


@pytest.mark.parametrize("offers", NEEDS)
def test_a_defense_that_met_one_cell_of_what_few_have_needs_all_of_these(needed, offers):
    ran = next(cell.name for cell in MATRIX.cell if cell.needs == offers and cell.track == "adaptive")
    assert needed(ran=ran) == met(offers) != met()


def test_of_a_track_that_is_missing_as_a_whole_no_cell_is_asked(needed):
    assert {track for track, _, _ in needed(tracks=("white-box", "adaptive"))} == {"white-box", "adaptive"}


@pytest.fixture
def plain(pretend):
    """Rows of a plain classifier that ran the whole matrix: its adaptive track is its white-box one."""

    def make(track):
        (model,) = pretend("plain", attacked=2, tracks=(track,)).rows()[:1]
        source = "white-box" if track == "adaptive" else track
        cells = [cell for cell in MATRIX.cell if cell.track == source and cell.applies(stochastic=False)]
        return [
            {
                **model, "sample_id": f"{image:05d}", "group_id": f"{image:05d}", "attack": cell.name,
                "norm": cell.norm, "eps_255": eps, "unranked": cell.unranked, "matrix_hash": DIGEST,
                "same_as": "" if source == track else source,
            }
            for image in range(2) for cell in cells for eps in cell.eps_255
        ]  # fmt: skip

    return lambda: [row for track in MATRIX.attack_tracks for row in make(track)]


def test_a_plain_classifiers_adaptive_track_needs_its_white_box_cells(table, plain):
    (entry,) = entries(table(plain()))
    found = required(MATRIX, DIGEST).cells(entry)
    assert {c[1:] for c in found if c[0] == "adaptive"} == {c[1:] for c in found if c[0] == "white-box"}


def test_a_lost_unit_costs_a_plain_classifier_the_images_of_that_unit_alone(table, plain):
    rows = [row for row in plain() if (row["track"], row["sample_id"]) != ("adaptive", "00001")]
    lost = {"sample_id": "00001", "group_id": "00001", "track": "adaptive"}
    lost |= {"attack": "none", "norm": "", "eps_255": None, "same_as": ""}
    lost = gap(rows[-1], "crash") | lost
    worst = headline(records(table([*rows, lost])), "plain", "films")
    assert (worst.n, worst.complete, worst.reason.endswith(": crash")) == (2, False, True)
    judged = verdicts(entries(table([*rows, lost]))[0], required(MATRIX, DIGEST))
    assert judged.worst(judged.ranked(range(len(judged.cells))))[1].tolist() == [True, False]


def test_a_quick_run_needs_the_budgets_of_its_profile_alone(needed):
    kept = set(MATRIX.profile_named("quick").eps_255)
    cut = {
        (track, name, norm): budgets & kept if norm == "linf" else {max(budgets)}
        for (track, name, norm), budgets in met().items()
    }
    assert needed(profile="quick") == {cell: budgets for cell, budgets in cut.items() if budgets}


def test_of_another_matrix_nothing_is_known(needed):
    assert needed(matrix_hash="f" * 64) == {}


def test_an_official_entry_that_skipped_cells_of_the_matrix_is_not_ranked(table, pretend):
    (standing,) = rank(table(pretend("one", changes={"matrix_hash": DIGEST})))
    assert standing.rank is None
    assert "no verdict in adaptive fab-t at 1, 2, 4, 8/255 for 10 of 10 images" in standing.reasons
    assert "no verdict in white-box jsma at 1, 4, 16 pixels for 10 of 10 images" in standing.reasons
