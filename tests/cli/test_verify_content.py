"""``bench verify`` on rows whose content was altered after they were made."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmark.data.registry import find_card, load_split
from benchmark.engine import RunSettings
from benchmark.engine.workplace import Workplace
from benchmark.results.migrate import value_type
from benchmark.results.schema import SCHEMA
from benchmark.results.store import read_table, write_table
from benchmark.root import Root
from leaderboard import audit
from leaderboard.entries import entries_in
from leaderboard.ranking import rank_of

ROOT = Root(Path(__file__).resolve().parents[2])

Verify = Callable[[], list[str]]
Row = dict[str, Any]


def folder_of(root: Root) -> Path:
    return root.official_results / "synthetic_cxr" / "natural"


@pytest.fixture
def wrong(own: Root, bench: Callable[..., Any]) -> Verify:
    """What ``bench verify`` says against the one entry; its exit code tells the same."""

    def run() -> list[str]:
        told = bench("--root", own.path, "verify", "--json")
        (found,) = json.loads(told.out)
        assert told.code == (1 if found["wrong"] else 0), told.err
        return list(found["wrong"])

    return run


def alter(root: Root, track: str, change: Callable[[Row], Mapping[str, Any] | None]) -> None:
    """Put other values into the rows of a track; ``change`` gives a row's new values, None to drop the row."""
    path = folder_of(root) / f"{track}.parquet"
    rows = read_table(path)
    assert rows is not None
    changed = [(row, change(row)) for row in rows.to_pylist()]
    kept = [row | new for row, new in changed if new is not None]
    columns = [pa.array([row[field.name] for row in kept], value_type(field.type)).cast(field.type) for field in SCHEMA]
    write_table(pa.table(columns, schema=SCHEMA), path)


def attacked(row: Row) -> bool:
    """Whether the image was broken by an attack that was run on it."""
    return not row["skipped"] and row["pred_clean"] == row["label"] and not row["correct"]


def test_untouched_rows_are_in_step(wrong: Verify) -> None:
    assert wrong() == []


def test_verdicts_that_do_not_follow_from_the_answers_are_found(own: Root, wrong: Verify) -> None:
    alter(own, "gray-box", lambda row: {"correct": True} if attacked(row) else {})
    told = "; ".join(wrong())
    assert "correct disagrees with pred in " in told
    assert "correct disagrees with right_draws in " in told
    assert " rows of gray-box" in told


def test_verdicts_of_skipped_rows_must_follow_from_others(own: Root, wrong: Verify) -> None:
    alter(own, "black-box", lambda row: {"correct": True, "broken_by": ""} if row["skipped"] else {})
    assert any(one.startswith("correct is true though the image is misclassified when clean") for one in wrong())


def test_labels_that_were_set_to_the_answers_are_found(own: Root, wrong: Verify) -> None:
    def right(row: Row) -> Row:
        return {"label": row["pred"], "correct": True, "right_draws": 1, "broken_by": ""}

    alter(own, "no-box", right)
    assert any(one.startswith("label disagrees with the data set in ") and "no-box" in one for one in wrong())


def test_clean_verdicts_that_were_all_set_to_right_are_found(own: Root, wrong: Verify) -> None:
    alter(own, "clean", lambda _row: {"correct": True})
    assert any(one.startswith("correct disagrees with pred in ") and one.endswith("of clean") for one in wrong())


def test_a_cell_that_was_taken_out_of_the_worst_case_is_found(own: Root, wrong: Verify) -> None:
    alter(own, "gray-box", lambda row: {"unranked": True} if row["attack"] == "gap" else {})
    assert any("unranked is true in 64 rows of gray-box gap linf at 8, a ranked cell" in one for one in wrong())


def test_an_attack_that_the_matrix_does_not_have_is_found(own: Root, wrong: Verify) -> None:
    alter(own, "gray-box", lambda row: {"attack": "gapp"} if row["attack"] == "gap" else {})
    assert any(one.startswith("the matrix has no cell gray-box gapp linf at 8") for one in wrong())


def test_a_deleted_cell_is_found(own: Root, wrong: Verify) -> None:
    alter(own, "black-box", lambda row: None if row["attack"] == "square" else {})
    assert any(one.startswith("no verdict in black-box square at ") for one in wrong())


def test_rows_that_were_cut_to_some_images_are_found_though_their_hash_is_right(own: Root, wrong: Verify) -> None:
    test = load_split(find_card("synthetic_cxr", own), "test", own)
    rows = read_table(folder_of(own) / "gray-box.parquet")
    assert rows is not None
    kept = pc.unique(rows.column("sample_id")).to_pylist()[:3]
    few = test.by_ids([name for name in test.ids if name in kept]).content_hash
    for path in folder_of(own).glob("*.parquet"):
        alter(own, path.stem, lambda row: {"dataset_hash": few} if row["sample_id"] in kept else None)
    told = wrong()
    assert "61 of 64 official images have no rows in gray-box" in told
    assert "997 of 1000 official images have no rows in clean" in told
    assert any("official images have no rows in corruption" in one for one in told)
    assert not any(one.startswith("images of ") for one in told)


def test_quick_rows_that_are_marked_official_are_found_and_not_ranked(own: Root, wrong: Verify) -> None:
    for path in folder_of(own).glob("*.parquet"):
        alter(own, path.stem, lambda _row: {"profile": "quick"})
    assert "rows of profile 'quick' are marked official" in wrong()
    (place,) = rank_of(entries_in([own.official_results]))
    assert place.rank is None
    assert "rows of profile 'quick' are marked official" in place.reasons


def test_rows_that_occur_twice_are_told_of_their_entry(own: Root, wrong: Verify) -> None:
    shutil.copyfile(folder_of(own) / "clean.parquet", folder_of(own) / "clean-2.parquet")
    assert "occur twice in one results folder" in "; ".join(wrong())


def test_clean_rows_that_are_there_again_under_another_name_are_found(own: Root, wrong: Verify) -> None:
    shutil.copyfile(folder_of(own) / "clean.parquet", folder_of(own) / "again.parquet")
    alter(own, "again", lambda _row: {"attack": "also"})
    assert "occur twice in one results folder" in "; ".join(wrong())


def test_a_damaged_file_is_told_of_its_entry(own: Root, wrong: Verify) -> None:
    path = folder_of(own) / "gray-box.parquet"
    path.write_bytes(path.read_bytes()[:500])
    told = wrong()
    assert "gray-box.parquet cannot be read as Parquet" in told[0]
    assert "track gray-box is missing" in told


def test_an_entry_of_damaged_files_alone_is_told_too(own: Root, wrong: Verify) -> None:
    for path in folder_of(own).glob("*.parquet"):
        path.write_bytes(b"PAR1 nothing")
    assert len(wrong()) == len(list(folder_of(own).glob("*.parquet")))


def test_a_break_that_no_row_shows_is_found(own: Root, wrong: Verify) -> None:
    def renamed(row: Row) -> Row:
        return {"broken_by": "pgd-20@1"} if row["broken_by"] == "fgsm@1" else {}

    alter(own, "white-box", renamed)
    told = "; ".join(wrong())
    assert "broken_by names no attack that broke the image at most at this budget in " in told


def test_a_repeated_row_must_say_what_its_source_says(own: Root, wrong: Verify) -> None:
    def broken(row: Row) -> Row:
        return {"correct": False, "pred": 9, "right_draws": 0} if row["correct"] and row["attack"] == "fgsm" else {}

    alter(own, "adaptive", broken)
    assert any(one.startswith("a repeated row of white-box says something else in ") for one in wrong())


def test_the_images_of_every_track_are_those_that_the_engine_takes(own: Root) -> None:
    settings = RunSettings(root=own.path, results=own.path / "results")
    workplace = Workplace(settings)
    card = find_card("synthetic_cxr", own)
    test = load_split(card, "test", own)
    (entry,) = entries_in([own.official_results])
    assert audit.images(entry, card, test) == []
    for track in entry.held.tracks:
        assert set(entry.track(track)["sample_id"]) == set(workplace.split("synthetic_cxr", track).ids)


def test_rows_of_a_user_are_checked_too(own: Root, bench: Callable[..., Any]) -> None:
    alter(own, "gray-box", lambda row: {"correct": True} if attacked(row) else {})
    shutil.move(folder_of(own), Path("results") / "synthetic_cxr" / "natural")
    shutil.rmtree(own.official_results)
    (found,) = json.loads(bench("--root", own.path, "verify", "--json").out)
    assert not found["official"]
    assert any(one.startswith("correct disagrees with pred in ") for one in found["wrong"])
    assert not any("unofficial" in one for one in found["wrong"])


def test_without_the_data_the_rows_are_still_checked(own: Root, bench: Callable[..., Any], tmp_path: Path) -> None:
    (entry,) = entries_in([ROOT.official_results], ["pneumoniamnist"], ["ard"])
    place = own.official_results / "pneumoniamnist" / "ard"
    shutil.copytree(entry.held.folders[0], place)
    shutil.copytree(ROOT.submissions / "ard", own.submissions / "ard")
    (tmp_path / "empty").mkdir()
    rows = read_table(place / "clean.parquet")
    assert rows is not None
    flipped = pc.invert(rows.column("correct"))
    write_table(rows.set_column(rows.column_names.index("correct"), "correct", flipped), place / "clean.parquet")
    told = bench("--root", own.path, "verify", "ard", "--json", "--data-dir", tmp_path / "empty")
    (found,) = json.loads(told.out)
    assert any(one.startswith("correct disagrees with pred in 624 rows of clean") for one in found["wrong"])
    assert found["unchecked"][0].startswith("images and labels (data set 'pneumoniamnist' needs")


def test_attack_rows_that_differ_in_nothing_that_counts_are_found(own: Root, wrong: Verify) -> None:
    shutil.copyfile(folder_of(own) / "gray-box.parquet", folder_of(own) / "again.parquet")
    alter(own, "again", lambda _row: {"severity": 1})
    assert "an image is there again in 1216 rows of gray-box" in wrong()
