"""Signs that an entry's gradient misleads attacks: at which value each fires, and what the board does then."""

import math
from dataclasses import replace

import pytest

from benchmark.matrix.diagnostics import load_diagnostics
from leaderboard.entries import entries
from leaderboard.indicators import (
    ABOVE_ANOTHER_TRACK,
    BEYOND_THE_MATRIX,
    HIDDEN,
    LARGE_RADIUS,
    LEFT_AT_LARGE_RADIUS,
    MONOTONICITY,
    NO_GRADIENT,
    has_diagnostics,
    indicators,
    reasons,
)
from leaderboard.metrics import headline, records_of
from leaderboard.ranking import rank, rank_of
from leaderboard.requirements import in_force
from leaderboard.site import build_site
from leaderboard.verdicts import verdicts

from .conftest import DIAGNOSTICS, LARGE, gap, holed, only

DIGEST = load_diagnostics()[1]
HUNDRED = {"labels": (0, 1) * 50, "attacked": 100, "frames": 2}
"""An entry with an image for every percent."""


@pytest.fixture
def told(table):
    """Indicators of one entry by name."""

    def compute(member):
        (entry,) = entries(table(member))
        return {one.name: one for one in indicators(entry, verdicts(entry))}

    return compute


def in_track(track, count):
    attack = {"adaptive": "pgd-20", "no-box": "pgd-20", "black-box": "square", "gray-box": "gap"}.get(track, "fgsm")
    return {(track, attack, image): 8.0 for image in range(count)}


@pytest.mark.parametrize("track", ["no-box", "black-box", "gray-box", "white-box"])
def test_an_adaptive_worst_case_above_another_tracks_by_more_than_the_bound_fires(told, pretend, track):
    one = told(pretend("one", **HUNDRED, falls=in_track("adaptive", 10) | in_track(track, 14)))[MONOTONICITY]
    assert one.value == pytest.approx(0.04)
    assert one.fires
    assert f"the adaptive track 90.0 %, the {track} track 86.0 % at 8/255" in one.sentence


@pytest.mark.parametrize(("white_box", "fires"), [(12, False), (13, False), (14, True)])
def test_at_its_bound_monotonicity_does_not_fire_yet(told, pretend, white_box, fires):
    one = told(pretend("one", **HUNDRED, falls=in_track("adaptive", 10) | in_track("white-box", white_box)))
    assert one[MONOTONICITY].fires == fires
    assert pytest.approx(0.03) == ABOVE_ANOTHER_TRACK


def test_an_adaptive_attacker_who_finds_more_than_all_others_is_as_it_should_be(told, pretend):
    one = told(pretend("one", **HUNDRED, falls=in_track("adaptive", 50) | in_track("white-box", 20)))[MONOTONICITY]
    assert one.value == pytest.approx(-0.3)
    assert not one.fires


def test_it_is_held_against_the_track_that_leaves_the_fewest(told, pretend):
    falls = in_track("no-box", 5) | in_track("black-box", 30) | in_track("white-box", 10)
    one = told(pretend("one", **HUNDRED, falls=falls))[MONOTONICITY]
    assert one.value == pytest.approx(0.3)
    assert "the black-box track 70.0 %" in one.sentence


@pytest.mark.parametrize("where", [{"track": "adaptive"}, {"attack": "fgsm"}], ids=["adaptive", "the other track"])
def test_a_track_with_a_gap_or_without_rows_tells_nothing(told, pretend, where):
    member = pretend("one", falls=in_track("white-box", 9))
    assert told(member)[MONOTONICITY].fires
    holed_one = told(holed(member.rows(), sample_id="00000", **where))[MONOTONICITY]
    missing = told([one for one in member.rows() if one["track"] not in ("adaptive",)])[MONOTONICITY]
    assert not holed_one.fires
    assert not missing.fires
    assert math.isnan(missing.value)


@pytest.mark.parametrize(("kept", "fires"), [(0, False), (5, False), (6, True)])
def test_more_images_left_at_128_of_255_than_the_bound_fire(told, pretend, kept, fires):
    one = told(pretend("one", **HUNDRED, kept=kept))[LARGE_RADIUS]
    assert one.value == pytest.approx(kept / 100)
    assert one.fires == fires
    assert LEFT_AT_LARGE_RADIUS == 0.05


def test_the_share_left_is_that_of_images_that_stand_under_every_diagnostic_attack(told, pretend):
    rows = pretend("one", kept=10).rows()
    margin = [one | {"attack": "pgd-128-margin", "correct": False} for one in rows if one["attack"] == LARGE]
    assert told(rows)[LARGE_RADIUS].value == 1.0
    assert told([*rows, *margin])[LARGE_RADIUS].value == 0.0


@pytest.mark.parametrize("where", [{"attack": LARGE, "sample_id": "00003"}, {"track": "diagnostic"}])
def test_diagnostics_with_a_gap_tell_nothing(told, pretend, where):
    one = told(holed(pretend("one", kept=10).rows(), **where))[LARGE_RADIUS]
    assert math.isnan(one.value)
    assert not one.fires


def test_without_diagnostics_the_share_is_not_known(told, pretend):
    found = told(pretend("one", tracks=("clean", "white-box", "adaptive")))
    assert math.isnan(found[LARGE_RADIUS].value)
    assert math.isnan(found[NO_GRADIENT].value)
    assert reasons(found.values()) == []


@pytest.mark.parametrize(("gradientless", "fires"), [(0, False), (50, False), (51, True)])
def test_a_gradient_of_zero_at_more_than_half_of_the_images_is_a_badge_and_no_reason(
    told, pretend, gradientless, fires
):
    found = told(pretend("one", **HUNDRED, gradientless=gradientless))
    assert found[NO_GRADIENT].value == pytest.approx(gradientless / 100)
    assert found[NO_GRADIENT].fires == fires
    assert found[NO_GRADIENT].ranks
    assert reasons(found.values()) == []


def test_a_gradient_that_is_not_finite_counts_as_none(told, pretend):
    rows = [one | ({"score": None} if one["attack"] == "gradient" else {}) for one in pretend("one").rows()]
    assert told(rows)[NO_GRADIENT].value == 1.0


def test_images_whose_gradient_could_not_be_taken_are_left_out(told, pretend):
    rows = holed(pretend("one", gradientless=5).rows(), attack="gradient", sample_id="00000")
    assert told(rows)[NO_GRADIENT].value == pytest.approx(4 / 9)
    assert math.isnan(told(holed(rows, attack="gradient"))[NO_GRADIENT].value)


def test_diagnostics_enter_no_worst_case_and_have_no_record_but_their_indicators(filed, pretend):
    found = records_of(filed(pretend("one", falls=in_track("adaptive", 2))))
    assert headline(found, "one", "films").value == pytest.approx(0.8)
    assert {one.metric for one in found if one.track == "diagnostic"} <= {
        *("indicator_monotonicity", "indicator_large_radius", "indicator_no_gradient", "indicator_hidden"),
        "inference_cost",
    }
    assert not [one for one in found if one.eps_255 == 128]


@pytest.mark.parametrize(("hidden", "fires"), [(10, False), (13, False), (14, True)])
def test_what_attacks_that_need_nothing_of_the_entry_find_beyond_the_matrix_fires_above_its_bound(
    told, pretend, hidden, fires
):
    one = told(pretend("one", **HUNDRED, falls=in_track("adaptive", 10), hidden=hidden))[HIDDEN]
    assert one.value == pytest.approx(max(0, hidden - 10) / 100)
    assert one.fires == fires
    assert pytest.approx(0.03) == BEYOND_THE_MATRIX
    assert f"leave {100 - hidden}.0 % of 100 images at 8/255, where those of the matrix leave 90.0 %" in one.sentence


@pytest.mark.parametrize("where", [{"attack": "inner", "sample_id": "00000"}, {"attack": "fgsm"}])
def test_with_a_gap_on_either_side_it_is_not_known_what_the_matrix_missed(told, pretend, where):
    one = told(holed(pretend("one", hidden=5).rows(), **where))[HIDDEN]
    assert math.isnan(one.value)
    assert not one.fires


MASKED = {
    "large radius": {"kept": 4},
    "monotonicity": {"falls": in_track("black-box", 4)},
    "hidden": {"hidden": 4},
}


@pytest.mark.parametrize("sign", MASKED)
def test_an_entry_for_which_one_fires_is_shown_with_its_number_and_not_ranked(filed, pretend, sign):
    standings = {one.submission: one for one in rank_of(filed(pretend("masked", **MASKED[sign]), pretend("sound")))}
    assert standings["sound"].rank == 1
    assert standings["masked"].rank is None
    (reason,) = standings["masked"].reasons
    assert "misleads attacks" in reason or "hides from these" in reason
    assert standings["masked"].value == (0.6 if sign == "monotonicity" else 1.0)


def test_the_board_tells_the_sentence(tmp_path, project, filed, pretend):
    entries = filed(pretend("masked", frames=2, kept=4), pretend("sound", frames=2))
    page = build_site(entries, project.root, tmp_path / "site").read_text(encoding="utf-8")
    ranked, unranked = page.split('data-group="unranked"')
    assert "masked" not in ranked
    assert "Attacks with its gradient leave 40.0 % at 128/255; a useful gradient leaves at most 5 %" in unranked


def test_a_missing_gradient_takes_no_rank_away(filed, pretend):
    (standing,) = rank_of(filed(pretend("one", gradientless=10)))
    assert standing.rank == 1


NOT_RUN = "the diagnostics of its gradient have not been run (bench evaluate runs them with the adaptive track)"


def without(rows, track="diagnostic"):
    return [one for one in rows if one["track"] != track]


def of_other_diagnostics(rows):
    return [one | ({"matrix_hash": "0" * 64} if one["track"] == "diagnostic" else {}) for one in rows]


def with_a_gap(rows):
    return holed(rows, attack=LARGE, sample_id="00001")


@pytest.mark.parametrize("change", [without, of_other_diagnostics, with_a_gap])
def test_an_official_entry_without_whole_rows_of_the_diagnostics_in_force_is_not_ranked(table, pretend, change):
    (standing,) = rank(table(change(pretend("one").rows())))
    assert standing.rank is None
    assert standing.reasons == (NOT_RUN,)
    assert standing.value == 1.0


def test_an_unofficial_run_is_not_asked_for_diagnostics(table, pretend):
    (standing,) = rank(table(without(pretend("one", changes={"official": False}).rows())))
    assert standing.reasons == ("unofficial run",)


def test_rules_without_diagnostics_ask_for_none(table, pretend):
    (standing,) = rank(table(without(pretend("one").rows())), replace(in_force(), diagnostics_hash=""))
    assert standing.rank == 1
    assert in_force().diagnostics_hash == DIGEST


def test_rows_of_diagnostics_are_whole_under_one_hash_and_without_a_gap(table, pretend):
    def whole(rows):
        (entry,) = entries(table(rows))
        return has_diagnostics(entry, DIGEST)

    rows = pretend("one").rows()
    assert whole(rows)
    assert not whole(with_a_gap(rows))
    assert not whole(of_other_diagnostics(rows))
    stale = gap(only(rows, "diagnostic")[0]) | {"sample_id": "z", "status": "ok", "matrix_hash": "0" * 64}
    assert not whole([*rows, stale])


def test_diagnostics_are_no_part_of_what_an_entry_was_run_under(table, pretend):
    """Their version and hash are another file's, which no board compares."""
    (entry,) = entries(table(pretend("one")))
    assert entry.provenance("matrix_hash") == ["a" * 64]
    assert entry.provenance("matrix_hash", ["diagnostic"]) == [DIAGNOSTICS["matrix_hash"]]
    assert "diagnostic" not in entry.tracks
