"""Tracks and ranking are records of a file: those in force are frozen, and a matrix file may bring its own."""

import hashlib

import pytest

from benchmark.errors import BenchError
from benchmark.matrix.model import MATRIX_FILE, load_matrix
from benchmark.matrix.rules import RULES_FILE, Rules, rules
from benchmark.toml_model import read_toml

RULES = RULES_FILE.read_text(encoding="utf-8")
FROZEN = "8711d83eeb06ec338b16b50ef6d5a30426c122cd76f71d08aab7272b03f15c06"


@pytest.fixture
def draft(tmp_path):
    """Return a function that reads the rules in force, changed by pairs (old, new)."""

    def read(*changes):
        text = RULES
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / "tracks.toml").write_text(text, encoding="utf-8")
        return read_toml(tmp_path / "tracks.toml", Rules)

    return read


@pytest.fixture
def matrix(tmp_path):
    """Return a function that loads the matrix in force, changed by pairs (old, new), with more tables at its end."""

    def load(*changes, tables=""):
        text = MATRIX_FILE.read_text(encoding="utf-8") + tables
        for old, new in changes:
            text = text.replace(old, new)
        (tmp_path / "draft.toml").write_text(text, encoding="utf-8")
        return load_matrix(tmp_path / "draft.toml")[0]

    return load


def test_the_rules_of_version_1_are_frozen_since_rows_do_not_carry_their_hash():
    assert hashlib.sha256(RULES_FILE.read_bytes()).hexdigest() == FROZEN


def test_the_matrix_in_force_has_the_rules_in_force():
    found = load_matrix()[0]
    assert found.ranking == rules().ranking
    assert found.tracks == rules().names
    assert found.ranking.text == "8/255"


RANKING = """
[ranking]
norm = "linf"
eps_255 = {eps}
metric = "robust_accuracy"
"""


def test_a_matrix_file_may_rank_at_another_budget_that_every_ranked_cell_has(matrix):
    assert matrix(("eps_255 = [8]", "eps_255 = [4, 8]"), tables=RANKING.format(eps=4)).ranking.text == "4/255"
    with pytest.raises(BenchError, match=r"lacks the budget that ranks, 3/255\."):
        matrix(tables=RANKING.format(eps=3))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("eps_255 = 8", "eps_255 = 0.03", "ranking: 0.03 is no L-inf budget: it is stated in 1/255"),
        ('metric = "robust_accuracy"', 'metric = "auc"', "ranking.metric"),
        ('name = "no-box"', 'name = "black-box"', "track 'black-box' is there twice"),
        ('view = "surrogate"', 'view = "surogate"', "track.2.view"),
        ('view = "surrogate"', 'view = "none"', "track 'no-box' has view 'none', but 'clean' has view 'none'"),
        ('name = "clean"', 'name = "tidy"', "track 'tidy' has view 'none', but 'clean' has view 'none'"),
        ('name = "no-box"', 'name = "all"', "'all' means something else"),
        ('name = "no-box"', 'name = "No box"', "track.2.name"),
        ('plain_as = "white-box"', 'plain_as = "black-box"', "names one with view 'undefended'"),
        ('needs = ["surrogates"]', 'needs = ["luck"]', "track.2.needs.0"),
        ("fitted = true", "fited = true", "Did you mean 'fitted'"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(draft, old, new, told):
    with pytest.raises(BenchError, match=told):
        draft((old, new))


def test_a_cell_of_no_track_is_refused_with_a_near_miss(matrix):
    with pytest.raises(BenchError, match=r"'whitebox' is no track with an attacker\. Did you mean 'white-box'"):
        matrix(('track = "white-box"', 'track = "whitebox"'))
    with pytest.raises(BenchError, match="'clean' is no track with an attacker"):
        matrix(('track = "gray-box"', 'track = "clean"'))


def test_tracks_of_another_matrix_come_last():
    assert rules().in_order(["zebra", "adaptive", "ape", "clean"]) == ("clean", "adaptive", "ape", "zebra")
