"""Entries are found without reading rows; rows are read track by track, and let go again."""

import gc
import weakref
from collections import Counter

import pytest
from pandas.testing import assert_frame_equal

from benchmark.errors import BenchError
from benchmark.results.store import write_table
from leaderboard import entries as module
from leaderboard.entries import EntryRows, entries, entries_in, once_per_entry
from leaderboard.metrics import records_of
from leaderboard.ranking import rank_of
from leaderboard.rows import read_rows
from leaderboard.rows import to_table as rows_to_table

from .conftest import Pretend, only, rows_of

SMALL = {"labels": (0, 1) * 2, "attacked": 4, "corrupted": 1, "frames": 2}
MANY = 4
"""Entries of a board, with four times as many tracks as are kept."""


class Reads:
    """Counts how often each track is read, and how many of those that were read are still in memory."""

    def __init__(self):
        self.times = Counter()
        self.most_alive = 0
        self._frames = []

    def note(self, held, frame):
        self.times[held[0].key] += 1
        self._frames.append(weakref.ref(frame))
        self.most_alive = max(self.most_alive, sum(one() is not None for one in self._frames))


@pytest.fixture
def reads(monkeypatch):
    counted, honest = Reads(), module.read_track
    module._frames.clear()

    def reading(held):
        frame = honest(held)
        counted.note(held, frame)
        return frame

    monkeypatch.setattr(module, "read_track", reading)
    return counted


@pytest.fixture
def board(tmp_path, save):
    """A results folder with many entries."""
    return save(tmp_path / "rows", rows_of(Pretend(f"entry{number:02}", **SMALL) for number in range(MANY)))


def test_finding_entries_reads_no_rows(board, reads):
    found = entries_in([board])
    assert [one.submission for one in found] == [f"entry{number:02}" for number in range(MANY)]
    assert all(len(one.tracks) == 7 for one in found)
    assert not reads.times


def test_what_rows_were_made_with_is_told_without_reading_them(board, reads):
    assert entries_in([board])[0].provenance("matrix_hash") == ["a" * 64]
    assert not reads.times


def test_a_whole_board_holds_a_few_tracks_at_a_time(board, reads):
    found = entries_in([board])
    records_of(found, baseline="entry00")
    rank_of(found)
    assert len(reads.times) == 8 * MANY
    assert reads.most_alive <= module._KEPT + 1


def test_a_whole_board_reads_a_track_once_for_its_numbers_and_once_more_at_most_for_its_ranks(board, reads):
    found = entries_in([board])
    records_of(found, baseline="entry00")
    assert set(reads.times.values()) == {1}
    rank_of(found)
    assert max(reads.times.values()) <= 2


def test_a_track_that_was_asked_for_just_now_is_not_read_again(board, reads):
    entry = entries_in([board])[0]
    assert entry.track("clean") is entry.track("clean")
    assert set(reads.times.values()) == {1}


def test_rows_that_another_entry_needs_in_between_are_read_again(board, reads):
    found = entries_in([board])
    first = found[0].track("clean")
    for entry in found[1:]:
        assert sum(len(rows) for _, rows in entry.everything()) > 0
    assert_frame_equal(found[0].track("clean"), first)
    assert reads.times[("entry00", "films", "clean", True)] == 2


def test_from_files_and_from_memory_an_entry_has_the_same_rows_and_facts(board):
    filed, held = entries_in([board]), entries(read_rows([board]))
    assert [one.submission for one in filed] == [one.submission for one in held]
    for one, other in zip(filed, held, strict=True):
        assert one.tracks == other.tracks
        assert all(one.provenance(name) == other.provenance(name) for name in module.FACTS)
        for (_, rows), (_, same) in zip(one.everything(), other.everything(), strict=True):
            assert_frame_equal(rows.astype(object), same.astype(object))


def test_what_a_function_remembers_of_an_entry_goes_with_it(board):
    asked = []

    @once_per_entry
    def count(entry: EntryRows) -> int:
        asked.append(entry.submission)
        return len(entry.tracks)

    entry = entries_in([board])[0]
    assert count(entry) == count(entry) == 7
    assert asked == ["entry00"]
    gone = weakref.ref(entry)
    del entry
    gc.collect()
    assert gone() is None


def test_files_of_other_data_sets_and_submissions_are_not_even_opened(tmp_path, save):
    folder = save(tmp_path / "rows", Pretend("one", **SMALL).rows())
    for place in ("films/another", "skin/one"):
        (folder / place).mkdir(parents=True)
        (folder / place / "clean.parquet").write_bytes(b"not a table")
    (found,) = entries_in([folder], ["films"], ["one"])
    assert (found.submission, found.dataset) == ("one", "films")
    with pytest.raises(BenchError, match="cannot be read as Parquet"):
        entries_in([folder])


def test_a_later_folder_replaces_a_track_of_an_earlier_one_and_no_other(tmp_path, save):
    old = save(tmp_path / "old", Pretend("one", **SMALL).rows())
    new = save(tmp_path / "new", only(Pretend("one", wrong_clean=frozenset({1}), **SMALL).rows(), "clean"))
    (found,) = entries_in([old, new])
    assert (len(found.track("clean")), int(found.track("clean")["correct"].sum())) == (4, 3)
    assert len(found.tracks) == 7


def test_official_and_other_rows_of_one_submission_are_two_entries(tmp_path, save):
    one = save(tmp_path / "one", Pretend("one", **SMALL).rows())
    other = save(tmp_path / "other", Pretend("one", changes={"official": False}, **SMALL).rows())
    assert [entry.official for entry in entries_in([one, other])] == [True, False]


def test_rows_of_ones_own_folder_count_as_unofficial_whatever_they_say(tmp_path, save):
    official = save(tmp_path / "official", Pretend("one", **SMALL).rows())
    own = save(tmp_path / "own", Pretend("one", wrong_clean=frozenset({0}), **SMALL).rows())
    found = entries_in([official], unofficial=[own])
    right = [(entry.official, int(entry.track("clean")["correct"].sum())) for entry in found]
    assert right == [(True, 4), (False, 3)]


def test_they_take_the_place_of_other_unofficial_rows_of_the_same_entry_as_a_whole(tmp_path, save):
    """Tracks of two runs are never mixed."""
    earlier = save(tmp_path / "earlier", Pretend("one", changes={"official": False}, **SMALL).rows())
    own = save(tmp_path / "own", only(Pretend("one", **SMALL).rows(), "clean"))
    (found,) = entries_in([earlier], unofficial=[own])
    assert (found.official, found.tracks) == (False, ("clean",))


def test_a_file_may_hold_several_entries(tmp_path, board):
    """As the files that the site offers do."""
    write_table(rows_to_table(read_rows([board])), tmp_path / "films.parquet")
    again = entries_in([tmp_path / "films.parquet"])
    assert [entry.submission for entry in again] == [f"entry{number:02}" for number in range(MANY)]
    for one, other in zip(again, entries_in([board]), strict=True):
        assert one.tracks == other.tracks
        assert_frame_equal(one.track("adaptive").astype(object), other.track("adaptive").astype(object))


def test_a_row_twice_in_one_folder_is_refused_when_it_is_read(tmp_path, save):
    rows = Pretend("one", tracks=("clean",), **SMALL).rows()
    folder = save(tmp_path / "rows", rows)
    save(folder / "copy", rows)
    (found,) = entries_in([folder])
    with pytest.raises(BenchError, match=r"rows of one on films \(clean, none, image 00000\) occur twice"):
        found.track("clean")


def test_the_tracks_of_an_entry_stand_in_the_boards_order(board):
    entry = entries_in([board])[0]
    assert entry.tracks == ("clean", "corruption", "no-box", "black-box", "gray-box", "white-box", "adaptive")
    assert [track for track, _ in entry.attacks()] == list(entry.tracks[2:])


def test_a_track_that_was_not_run_has_no_rows(board):
    assert entries_in([board])[0].track("nonsense").empty
