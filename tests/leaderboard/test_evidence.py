"""Which cells decide: who broke an image first, who alone, and what skipping changes."""

import pytest

from benchmark.errors import BenchError
from benchmark.matrix.model import load_matrix
from benchmark.results.schema import REPEATED
from leaderboard.entries import entries
from leaderboard.evidence import noted, official_evidence, runs_in, studies
from leaderboard.skipping import compare

from .conftest import Pretend, holed, only, row

MATRIX = load_matrix()[0]
HASH = "a" * 64

LENT = {"track": "adaptive", "same_as": "white-box"}

FGSM_THEN_PGD = {
    **{("white-box", "fgsm", image): 4.0 for image in (0, 1, 2)},
    **{("white-box", "pgd-20", image): 8.0 for image in (1, 2, 3)},
}


def cells(rows):
    """The evidence of the one study in the rows, by track and cell."""
    (study,) = studies(entries(rows))
    return {(one.track, one.attack): one for one in study.cells}


def two_voters(**shares):
    """One image of a randomised defense under cells that left it so many of five right draws."""
    common = {"track": "white-box", "norm": "linf", "eps_255": 8.0, "draws": 5}
    return [
        row("voter", "films", 0, 0, attack=attack, right_draws=right, correct=right >= 3, **common)
        for attack, right in shares.items()
    ]


def lent(rows):
    """The white-box rows as a plain classifier's adaptive ones."""
    return [one | dict.fromkeys(REPEATED) | LENT for one in only(rows, "white-box")]


def test_a_cell_is_credited_with_the_images_that_it_broke_first(table):
    found = cells(table(Pretend("one", falls=FGSM_THEN_PGD)))
    fgsm, pgd = found["white-box", "fgsm"], found["white-box", "pgd-20"]
    assert (fgsm.attacked, fgsm.broken, fgsm.first, fgsm.largest_eps_255) == (37, 3, 3, 4.0)
    assert (pgd.first, pgd.largest_eps_255, pgd.first_at_largest) == (1, 8.0, 1)


def test_a_counted_cell_that_broke_nothing_first_is_idle(table):
    found = cells(table(Pretend("one", falls=FGSM_THEN_PGD)))
    assert not found["white-box", "fgsm"].idle
    assert found["white-box", "apgd-ce"].idle
    assert found["white-box", "apgd-ce"].largest_eps_255 is None


def test_entries_are_counted_over_submissions_and_data_sets(table):
    members = [Pretend("one", falls=FGSM_THEN_PGD), Pretend("one", dataset="skin", falls=FGSM_THEN_PGD), Pretend("two")]
    fgsm = cells(table(*members))["white-box", "fgsm"]
    assert (fgsm.entries, fgsm.first) == (2, 6)


def test_where_every_cell_attacks_every_image_those_count_that_it_alone_broke_there_and_below(table):
    falls = {
        ("white-box", "fgsm", 0): 4.0,
        ("white-box", "fgsm", 1): 4.0,
        ("white-box", "pgd-20", 1): 2.0,
        ("white-box", "pgd-20", 2): 2.0,
    }
    found = cells(table(Pretend("one", falls=falls, skip=False)))
    fgsm, pgd = found["white-box", "fgsm"], found["white-box", "pgd-20"]
    # fgsm: image 0 at 4 and 8; image 1 had fallen at 2. pgd-20: image 1 at 2; image 2 at 2, 4 and 8.
    assert (fgsm.broken, fgsm.first) == (4, 2)
    assert (pgd.broken, pgd.first) == (6, 4)


@pytest.mark.parametrize("skip", [True, False])
def test_an_image_that_is_wrong_when_clean_was_broken_by_nobody(table, skip):
    found = cells(table(Pretend("one", wrong_clean=frozenset({0, 5}), skip=skip)))
    assert all(one.broken == one.first == 0 for one in found.values())
    assert found["white-box", "fgsm"].attacked == 8 * 4


def test_a_gap_is_neither_an_attack_nor_a_fall(table):
    rows = holed(Pretend("one", falls=FGSM_THEN_PGD).rows(), track="white-box", attack="fgsm", sample_id="00000")
    fgsm = cells(table(rows))["white-box", "fgsm"]
    assert (fgsm.attacked, fgsm.first) == (37 - 3, 2)


def test_rows_that_another_track_lent_count_once_and_name_both_tracks(table):
    rows = Pretend("one", falls=FGSM_THEN_PGD, tracks=("clean", "white-box")).rows()
    found = cells(table([*rows, *lent(rows)]))
    assert {track for track, _ in found} == {"white-box"}
    fgsm = found["white-box", "fgsm"]
    assert (fgsm.attacked, fgsm.first, fgsm.decided_in) == (37, 3, ("white-box", "adaptive"))


def test_lent_rows_without_the_lender_still_are_evidence_of_its_cell(table):
    rows = Pretend("one", falls=FGSM_THEN_PGD, tracks=("clean", "white-box")).rows()
    fgsm = cells(table(lent(rows)))["white-box", "fgsm"]
    assert (fgsm.first, fgsm.decided_in) == (3, ("adaptive",))


def test_an_unranked_cell_is_told_what_no_counted_cell_broke(table):
    falls = {("no-box", "pgd-20", 0): 2.0, ("no-box", "cw-linf", 0): 8.0, ("no-box", "cw-linf", 1): 8.0}
    rows = Pretend("one", falls=falls, skip=False).rows()
    for one in rows:
        one["unranked"] = (one["track"], one["attack"]) == ("no-box", "cw-linf")
    found = cells(table(rows))
    beside, counted = found["no-box", "cw-linf"], found["no-box", "pgd-20"]
    assert (beside.unranked, beside.broken, beside.first, beside.idle) == (True, 2, 1, False)
    # What an unranked cell broke takes nothing from a counted one.
    assert counted.first == counted.broken == 3


def test_the_cell_alone_with_the_lowest_share_of_draws_on_a_standing_image_is_told(table):
    found = cells(table(two_voters(fgsm=4, pgd=3)))
    assert (found["white-box", "pgd"].lowered, found["white-box", "fgsm"].lowered) == (1, 0)
    assert found["white-box", "pgd"].idle


@pytest.mark.parametrize("shares", [{"fgsm": 3, "pgd": 3}, {"fgsm": 3, "pgd": 1}])
def test_a_share_that_another_cell_reached_too_or_a_fall_lowered_nothing(table, shares):
    assert all(one.lowered == 0 for one in cells(table(two_voters(**shares))).values())


def test_rows_of_two_matrices_are_two_studies(table):
    other = {"matrix_version": "2", "matrix_hash": "b" * 64}
    rows = table(Pretend("one", falls=FGSM_THEN_PGD), Pretend("two", changes=other))
    assert [(study.matrix_version, study.entries) for study in studies(entries(rows))] == [
        ("1", ("one on films",)),
        ("2", ("two on films",)),
    ]


def test_the_official_evidence_lists_idle_cells_and_those_that_nobody_met(table):
    told = official_evidence(entries(table(Pretend("one", falls=FGSM_THEN_PGD))), MATRIX, HASH)
    idle = {(cell.track, cell.name): one for cell, one in told.idle}
    assert told.counted == sum(not cell.unranked for cell in MATRIX.cell)
    assert ("white-box", "fgsm") not in idle
    assert noted(idle["white-box", "apgd-ce"]).startswith("it broke none of the ")
    assert noted(idle["adaptive", "apgd-dlr"]) == ""


def test_a_cell_that_another_track_has_run_is_not_idle_where_its_rows_decide(table):
    """As a deterministic defense's Square, whose deployed scores are the same in both tracks."""
    falls = {(track, "square", image): 8.0 for track in ("black-box", "adaptive") for image in (0, 1)}
    rows = Pretend("one", falls=falls).rows()
    repeated = dict.fromkeys(REPEATED) | {"same_as": "black-box"}
    for one in only(rows, "adaptive"):
        if one["attack"] == "square" and not one["skipped"]:
            one.update(repeated)
    told = official_evidence(entries(table(rows)), MATRIX, HASH)
    idle = {(cell.track, cell.name) for cell, _ in told.idle}
    assert not {("black-box", "square"), ("adaptive", "square")} & idle
    assert ("white-box", "square") in idle


@pytest.mark.parametrize("changes", [{"official": False}, {"matrix_hash": "b" * 64}, {"individual": True}])
def test_only_official_skipping_rows_of_the_matrix_mark_its_cells(table, changes):
    told = official_evidence(entries(table(Pretend("one", changes=changes))), MATRIX, HASH)
    assert (told.entries, told.idle) == ((), ())


def test_no_entries_are_no_studies():
    assert studies([]) == []
    assert compare([], []) == []


def individually(entry):
    """Whether every cell of the entry attacked every image."""
    return all(rows["individual"].all() for _, rows in entry.everything())


def test_a_folder_with_both_kinds_of_runs_is_read_apart(tmp_path, save):
    save(tmp_path / "skipping", Pretend("one").rows())
    save(tmp_path / "individual", Pretend("one", skip=False, changes={"individual": True}).rows())
    ((skipping,), (individual,)) = runs_in(tmp_path)
    assert (individually(skipping), individually(individual)) == (False, True)
    assert skipping.tracks == individual.tracks


def test_two_runs_of_one_kind_in_one_folder_are_refused(tmp_path, save):
    for name in ("old", "new"):
        save(tmp_path / name, Pretend("one").rows())
    with pytest.raises(BenchError, match="some rows occur twice"):
        runs_in(tmp_path)


@pytest.fixture
def both(table):
    """A skipping run in which image 3 survived what broke it where every cell attacked every image."""
    falls = {**FGSM_THEN_PGD, ("white-box", "apgd-ce", 3): 4.0}
    individual = Pretend("one", falls=falls, skip=False, attacked=8, changes={"official": False})
    return entries(table(Pretend("one", falls=FGSM_THEN_PGD))), entries(table(individual))


def test_worst_cases_are_compared_image_by_image_over_the_images_of_both_runs(both):
    found = {(one.track, one.eps_255): one for one in compare(*both)}
    assert {one.images for one in found.values()} == {8}
    assert {key: one.missed for key, one in found.items() if one.missed} == {("white-box", 4.0): 1}
    assert not any(one.only_skipping for one in found.values())


def test_what_both_runs_spent_is_summed_over_the_same_images(both):
    at_headline = {one.track: one for one in compare(*both) if one.eps_255 == 8.0}["black-box"]
    # Nothing fell to Square: image i cost 100 (i + 1) queries in either run.
    assert at_headline.skipping.queries == at_headline.individual.queries == 3600
    fallen = {one.track: one for one in compare(*both) if one.eps_255 == 8.0}["white-box"]
    assert 0 < fallen.skipping.queries < fallen.individual.queries


def test_runs_of_another_entry_are_not_compared(table):
    skipping, individual = entries(table(Pretend("one"))), entries(table(Pretend("three", skip=False)))
    assert compare(skipping, individual) == []


def test_where_there_are_official_and_other_rows_of_an_entry_the_official_ones_are_compared(table):
    own = Pretend("one", changes={"official": False})
    skipping = entries(table(Pretend("one", falls=FGSM_THEN_PGD), own))
    individual = entries(table(Pretend("one", falls=FGSM_THEN_PGD, skip=False, changes={"official": False})))
    assert len(skipping) == 2
    assert sum(one.missed for one in compare(skipping, individual)) == 0
