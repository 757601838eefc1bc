"""A matrix file names its own tracks: what they are called changes no verdict, only where rows stand."""

import pytest
from pandas.testing import assert_frame_equal

from benchmark.errors import BenchError
from benchmark.matrix.rules import RULES_FILE
from leaderboard.entries import entries_in
from leaderboard.metrics import records_of

from .conftest import MATRIX

NAMES = {"white-box": "bare", "adaptive": "sees-all", "black-box": "asks", "no-box": "outside"}


@pytest.fixture
def own(tmp_path):
    """The small matrix with tracks of other names, as a file."""
    text = MATRIX.read_text() + RULES_FILE.read_text()
    for old, new in NAMES.items():
        text = text.replace(f'"{old}"', f'"{new}"').replace(f'"{old}/', f'"{new}/')
    path = tmp_path / "own.toml"
    path.write_text(text)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("submission", ["plain", "jpeg"])
def test_tracks_of_other_names_have_the_same_verdicts(run, whole, own, submission):
    mine = run([submission], NAMES.values(), matrix=own)
    assert mine.report.failures == {}
    for old, new in NAMES.items():
        ours, theirs = mine.identity(submission, new), whole.identity(submission, old)
        assert set(ours.track) == {new}
        assert set(ours.same_as) == {NAMES.get(track, track) for track in set(theirs.same_as)}
        apart = ["track", "same_as", "official", "matrix_hash"]
        assert_frame_equal(ours.drop(columns=apart), theirs.drop(columns=apart))


def test_their_rows_are_on_the_board_as_unofficial(run, own):
    mine = run(["plain"], ["bare", "asks"], matrix=own)
    (entry,) = entries_in([mine.results])
    assert not entry.official
    assert entry.attack_tracks == ("asks", "bare")
    assert {"asks", "bare"} <= {record.track for record in records_of([entry])}


def test_a_track_of_another_matrix_cannot_be_asked_for(run, own):
    with pytest.raises(BenchError, match=r"track 'white-box' is unknown\. Known: asks, bare"):
        run(["plain"], ["white-box"], matrix=own)
