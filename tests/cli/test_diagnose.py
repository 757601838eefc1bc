"""``bench diagnose``: which indicators fire, on which images, and what to do."""

import json

import pytest

from ..leaderboard.conftest import Pretend

SMALL = {"frames": 2, "corrupted": 1}


@pytest.fixture
def here(board):
    falls = {("black-box", "square", image): 8.0 for image in range(5)}
    return board(
        Pretend("natural", **SMALL),
        Pretend("hiding", hidden=4, **SMALL),
        Pretend("misleading", falls=falls, **SMALL),
        Pretend("masked", kept=3, gradientless=10, **SMALL),
    )


def test_a_sound_entry_has_no_sign_of_masked_gradients(here):
    told = here("diagnose", "natural")
    assert told.code == 0
    assert told.out.splitlines()[:2] == ["natural on films, official rows", "No sign of masked gradients."]
    assert "FIRES" not in told.out


@pytest.mark.parametrize(
    ("entry", "name", "images", "advice"),
    [
        ("hiding", "hidden", ["00000", "00001", "00002", "00003"], "bench attack inner --track diagnostic"),
        ("misleading", "monotonicity", ["00000", "00001", "00002", "00003", "00004"], "declare its backward"),
        ("masked", "large_radius", ["00000", "00001", "00002"], "Follow the gradient"),
    ],
)
def test_what_fires_is_told_with_its_images_and_what_to_do(here, entry, name, images, advice):
    told = here("diagnose", entry)
    assert told.code == 1
    assert "Not ranked: signs of masked gradients." in told.out
    assert f"FIRES  {name}" in told.out
    assert f"Images: {', '.join(images)}." in told.out
    assert advice in told.out


def test_a_missing_gradient_fires_and_costs_no_rank(here):
    (told,) = json.loads(here("diagnose", "masked", "--json").out)
    (one,) = [one for one in told["indicators"] if one["name"] == "no_gradient"]
    assert (one["fires"], one["ranks"], len(one["images"])) == (True, True, 10)


def test_what_was_not_run_is_not_known_and_told_how_to_run(board):
    rows = [one for one in Pretend("natural", **SMALL).rows() if one["track"] != "diagnostic"]
    told = board(rows)("diagnose", "natural")
    assert told.code == 0
    assert "No sign of masked gradients in what was run." in told.out
    assert "hidden: not known" in told.out
    assert "'bench evaluate natural -d films' makes the rows that are missing." in told.out


def test_an_entry_without_rows_is_told_to_be_evaluated(here):
    assert "bench evaluate" in here("diagnose", "pgd_at").sentence
