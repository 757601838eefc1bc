"""``bench verify``, and the committed official rows that it looks at."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.matrix import load_matrix
from benchmark.matrix.diagnostics import load_diagnostics
from benchmark.results.store import read_table, write_table
from benchmark.root import Root
from benchmark.submission import find_entry
from leaderboard.board import row_hashes
from leaderboard.entries import EntryRows, entries_in

ROOT = Root(Path(__file__).resolve().parents[2])


@pytest.fixture(scope="module")
def committed() -> list[EntryRows]:
    return entries_in([ROOT.official_results])


def test_every_committed_row_belongs_to_its_entrys_folder(committed: list[EntryRows]) -> None:
    stale = [
        f"{entry.submission} on {entry.dataset}"
        for entry in committed
        if entry.provenance("submission_hash", entry.held.tracks)
        != [find_entry(ROOT, entry.submission).content_hash(entry.dataset)]
    ]
    assert not stale, f"evaluate these again, or take their changes back: {stale}"


def test_every_committed_row_belongs_to_the_matrix_and_the_diagnostics_in_force(committed: list[EntryRows]) -> None:
    for entry in committed:
        assert entry.provenance("matrix_hash") == [load_matrix()[1]]
        assert entry.provenance("matrix_hash", ["diagnostic"]) == [load_diagnostics()[1]]


def test_the_committed_board_was_computed_from_the_committed_rows() -> None:
    told = json.loads((ROOT.official_records / "places.json").read_text())
    assert told["rows"] == row_hashes(ROOT.official_results), "run 'make records'"


def test_a_pair_of_entry_and_data_set_takes_less_than_150_kb() -> None:
    drawn = "synthetic_cxr"  # its vote takes more, and it is a demonstration
    sizes = {
        folder: sum(path.stat().st_size for path in folder.iterdir())
        for folder in ROOT.official_results.glob("*/*")
        if folder.parent.name != drawn
    }
    assert max(sizes.values()) < 150_000


def test_rows_in_step_are_told_so(own: Root, bench: Callable[..., Any]) -> None:
    told = bench("--root", own.path, "verify")
    assert told.code == 0
    assert "1 entry: 1 in step, 0 stale" in told.out


def test_a_changed_file_of_the_entry_makes_its_rows_stale(own: Root, bench: Callable[..., Any]) -> None:
    (own.submissions / "natural" / "norm.json").write_text("{}")
    told = bench("--root", own.path, "verify", "--json")
    assert told.code == 1
    assert json.loads(told.out)[0]["wrong"][0].startswith("submission ")


def test_words_about_the_entry_do_not(own: Root, bench: Callable[..., Any]) -> None:
    (own.submissions / "natural" / "README.md").write_text("Better words.\n")
    assert bench("--root", own.path, "verify").code == 0


def test_an_entry_without_a_folder_is_stale(own: Root, bench: Callable[..., Any]) -> None:
    shutil.rmtree(own.submissions / "natural")
    told = bench("--root", own.path, "verify", "--json")
    assert told.code == 1
    assert "there is no folder submissions/natural" in json.loads(told.out)[0]["wrong"]


def test_data_that_is_not_here_is_not_checked_and_said_so(bench: Callable[..., Any], tmp_path: Path) -> None:
    told = bench("--root", ROOT.path, "verify", "ard", "-d", "pneumoniamnist", "--json", "--data-dir", tmp_path)
    assert told.code == 0
    assert json.loads(told.out)[0]["unchecked"][0].startswith("images and labels (data set 'pneumoniamnist' needs")


RERUN = ("verify", "natural", "--json", "--rerun")


def test_committed_rows_can_be_computed_again(own: Root, bench: Callable[..., Any]) -> None:
    told = bench("--root", own.path, *RERUN, 2, "--track", "clean", "--track", "corruption")
    assert told.code == 0, told.out + told.err
    found = {one["track"]: (one["rows"], one["differ"]) for one in json.loads(told.out)}
    assert found == {"clean": (2, 0), "corruption": (140, 0)}


@pytest.mark.slow
def test_a_row_whose_verdict_was_changed_is_found_by_computing_it_again(own: Root, bench: Callable[..., Any]) -> None:
    path = own.official_results / "synthetic_cxr" / "natural" / "clean.parquet"
    rows = read_table(path)
    assert rows is not None
    correct = rows.column("correct").to_pylist()
    write_table(rows.set_column(rows.column_names.index("correct"), "correct", [[not one for one in correct]]), path)
    told = bench("--root", own.path, *RERUN, 2, "--track", "clean", "--track", "corruption")
    assert told.code == 1
    assert {one["track"]: one["differ"] for one in json.loads(told.out)} == {"clean": 2, "corruption": 0}


def test_computing_again_needs_a_name_since_it_takes_minutes(own: Root, bench: Callable[..., Any]) -> None:
    assert "name the submissions" in bench("--root", own.path, "verify", "--rerun", 2).sentence
    assert "goes with --rerun" in bench("--root", own.path, "verify", "--track", "clean").sentence
