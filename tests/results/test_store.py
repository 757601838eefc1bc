"""Writing and reading result tables."""

import os
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark import files
from benchmark.engine.rows import to_table
from benchmark.errors import BenchError
from benchmark.results.schema import ATTACK_TRACKS, SCHEMA, SCHEMA_VERSION, TRACKS
from benchmark.results.store import read_table, refuse_to_replace_official, write_table


def rows(names, official=False):
    return to_table([{"sample_id": name, "official": official, "track": "clean", "correct": True} for name in names])


def test_what_is_written_is_read_back(tmp_path):
    table = rows(["a", "b"])
    write_table(table, tmp_path / "deep" / "down" / "rows.parquet")
    assert read_table(tmp_path / "deep" / "down" / "rows.parquet").equals(table)


def test_the_schema_version_and_the_columns_meanings_travel_with_the_file(tmp_path):
    write_table(rows(["a"]), tmp_path / "rows.parquet")
    schema = pq.read_schema(tmp_path / "rows.parquet")
    assert schema.metadata[b"medrobustbench_schema"] == str(SCHEMA_VERSION).encode()
    assert schema.field("linf").metadata[b"description"] == SCHEMA.field("linf").metadata[b"description"]


def test_a_table_with_other_columns_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="names"):
        write_table(pa.table({"sample_id": ["a"]}), tmp_path / "rows.parquet")
    assert not (tmp_path / "rows.parquet").exists()


@pytest.mark.parametrize("moment", ["chmod", "replace"])
def test_a_crash_while_writing_leaves_the_old_file_whole_and_no_litter(tmp_path, monkeypatch, moment):
    path = tmp_path / "rows.parquet"
    write_table(rows(["old"]), path)

    def crash(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, moment, crash)
    with pytest.raises(KeyboardInterrupt):
        write_table(rows(["new"]), path)
    monkeypatch.undo()
    assert read_table(path)["sample_id"].to_pylist() == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "rows.parquet"
    write_table(rows(["old"]), path)
    honest = os.fdopen

    class Full:
        def __init__(self, handle, mode):
            self._stream = honest(handle, mode)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._stream.close()

        def write(self, content):
            self._stream.write(content[: len(content) // 2])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fdopen", Full)
    with pytest.raises(OSError, match="No space left"):
        write_table(rows(["new"]), path)
    monkeypatch.undo()
    assert read_table(path)["sample_id"].to_pylist() == ["old"]


def test_files_are_readable_by_everyone(tmp_path):
    write_table(rows(["a"]), tmp_path / "rows.parquet")
    assert stat.S_IMODE((tmp_path / "rows.parquet").stat().st_mode) == 0o644


@pytest.mark.parametrize("keep", [0, 10, -1, -100])
def test_a_truncated_file_reads_as_none(tmp_path, keep):
    path = tmp_path / "rows.parquet"
    write_table(rows(["a"] * 50), path)
    path.write_bytes(path.read_bytes()[:keep])
    assert read_table(path) is None


def test_a_missing_file_or_one_of_another_schema_reads_as_none(tmp_path):
    assert read_table(tmp_path / "none.parquet") is None
    pq.write_table(pa.table({"sample_id": ["a"]}), tmp_path / "other.parquet")
    assert read_table(tmp_path / "other.parquet") is None


@pytest.mark.parametrize(("old", "new", "refused"), [(1, 0, True), (1, 1, False), (0, 0, False), (0, 1, False)])
def test_only_official_rows_are_guarded_and_only_against_others(tmp_path, old, new, refused):
    path = tmp_path / "rows.parquet"
    write_table(rows(["a"], official=bool(old)), path)
    if not refused:
        refuse_to_replace_official(path, official=bool(new))
        return
    with pytest.raises(BenchError, match=r"give another folder with --results\.$"):
        refuse_to_replace_official(path, official=bool(new))


def test_official_rows_of_another_schema_version_are_guarded_too(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"sample_id": ["a"], "official": [True]}), path)
    with pytest.raises(BenchError, match="holds official rows"):
        refuse_to_replace_official(path, official=False)


@pytest.mark.parametrize("content", [b"", b"not a table"])
def test_a_damaged_file_may_be_replaced(tmp_path, content):
    (tmp_path / "rows.parquet").write_bytes(content)
    refuse_to_replace_official(tmp_path / "rows.parquet", official=False)


def test_the_schema_names_each_column_once_and_attack_tracks_are_tracks():
    assert len(set(SCHEMA.names)) == len(SCHEMA.names)
    assert set(ATTACK_TRACKS) < set(TRACKS)


def test_a_column_that_a_row_does_not_name_is_null():
    table = rows(["a"])
    assert table["eps_255"].to_pylist() == [None]
    assert table.schema.equals(SCHEMA)


def test_a_file_of_the_version_before_is_read_with_nulls_for_the_copies_of_a_vote(tmp_path):
    path = tmp_path / "rows.parquet"
    older = rows(["a"]).drop_columns(["copies"])
    pq.write_table(older.replace_schema_metadata({"medrobustbench_schema": "2"}), path)
    assert read_table(path)["copies"].to_pylist() == [None]
