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
from benchmark.matrix.rules import rules as rules_of_matrix
from benchmark.results.schema import (
    DIAGNOSTIC,
    EMPTY,
    ESSENTIAL,
    FALSE,
    OF_A_RUN,
    SCHEMA,
    SCHEMA_VERSION,
)
from benchmark.results.store import read_table, refuse_to_replace_official, to_bytes, write_table

from ..leaderboard.conftest import Pretend


def rows(names, official=False, **columns):
    common = {"submission": "one", "dataset": "films", "track": "clean", "status": "ok", "correct": True}
    return to_table([common | {"sample_id": name, "official": official} | columns for name in names])


def plain(table):
    """Rows as they are meant: in some columns nothing is the same as an empty text or as false."""
    defaults = dict.fromkeys(EMPTY, "") | dict.fromkeys(FALSE, False)
    return [{name: defaults.get(name) if value is None else value for name, value in row.items()}
            for row in table.to_pylist()]  # fmt: skip


def columns_of(path):
    return set(pq.read_schema(path).names)


@pytest.mark.parametrize("track", [*rules_of_matrix().names, DIAGNOSTIC])
def test_what_is_written_is_read_back(tmp_path, track):
    falls = {(track, "pgd-20", image): 2.0 for image in range(10)}
    table = to_table(Pretend("one", falls=falls, wrong_clean=frozenset(range(12)), tracks=(track,)).rows())
    write_table(table, tmp_path / "deep" / "down" / "rows.parquet")
    assert plain(read_table(tmp_path / "deep" / "down" / "rows.parquet")) == plain(table)


def test_the_schema_version_travels_with_the_file(tmp_path):
    write_table(rows(["a"]), tmp_path / "rows.parquet")
    assert pq.ParquetFile(tmp_path / "rows.parquet").metadata.metadata == {
        b"medrobustbench_schema": str(SCHEMA_VERSION).encode()
    }


def test_columns_that_tell_nothing_are_left_out(tmp_path):
    write_table(rows(["a"], reason="", skipped=False, severity=None, probs=None), tmp_path / "rows.parquet")
    assert columns_of(tmp_path / "rows.parquet") == {*ESSENTIAL, *OF_A_RUN}


def test_a_column_that_tells_something_of_one_row_alone_is_kept_for_all(tmp_path):
    table = pa.concat_tables([rows(["a"]), rows(["b"], reason="crash", skipped=True, severity=5)])
    write_table(table, tmp_path / "rows.parquet")
    assert columns_of(tmp_path / "rows.parquet") == {
        *ESSENTIAL, *OF_A_RUN, "reason", "skipped", "severity",
    }  # fmt: skip


def test_a_column_that_was_left_out_comes_back_with_its_default(tmp_path):
    write_table(rows(["a"]), tmp_path / "rows.parquet")
    table = read_table(tmp_path / "rows.parquet")
    assert table.schema.equals(SCHEMA)
    (row,) = table.to_pylist()
    assert {name: row[name] for name in EMPTY} == dict.fromkeys(EMPTY, "")
    assert {name: row[name] for name in FALSE} == dict.fromkeys(FALSE, False)
    named = {*EMPTY, *FALSE, *columns_of(tmp_path / "rows.parquet")}
    assert {row[name] for name in SCHEMA.names if name not in named} == {None}


@pytest.mark.parametrize("column", ["correct", "accepted"])
def test_false_throughout_is_kept_where_null_means_something_else(tmp_path, column):
    write_table(rows(["a", "b"], **{column: False}), tmp_path / "rows.parquet")
    assert read_table(tmp_path / "rows.parquet")[column].to_pylist() == [False, False]


def test_the_columns_that_every_file_has_are_there_even_where_they_are_empty(tmp_path):
    write_table(rows(["a"], submission=None), tmp_path / "rows.parquet")
    assert {*ESSENTIAL, *OF_A_RUN} <= columns_of(tmp_path / "rows.parquet")


def test_the_same_rows_give_the_same_bytes(tmp_path):
    """However they came together, and also when they have been to a file and back."""
    made = Pretend("one", tracks=("white-box",)).rows()
    whole = to_table(made)
    joined = pa.concat_tables([to_table(made[:7]), to_table(made[7:])]).unify_dictionaries()
    assert to_bytes(whole) == to_bytes(whole) == to_bytes(joined)
    write_table(whole, tmp_path / "rows.parquet")
    assert to_bytes(read_table(tmp_path / "rows.parquet")) == (tmp_path / "rows.parquet").read_bytes()


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
    write_table(rows(["a"]), tmp_path / "rows.parquet")
    assert len(read_table(tmp_path / "rows.parquet")) == 1


def test_the_schema_names_each_column_once():
    assert len(set(SCHEMA.names)) == len(SCHEMA.names)


def test_a_column_that_a_row_does_not_name_is_null():
    table = rows(["a"])
    assert table["eps_255"].to_pylist() == [None]
    assert table.schema.equals(SCHEMA)
