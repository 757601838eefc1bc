"""Reading result rows: versions, foreign files, several folders."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.errors import BenchError
from benchmark.results.schema import ESSENTIAL, SCHEMA, SCHEMA_VERSION
from leaderboard.rows import read_rows, to_table


def _replace_metadata(path, version):
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"medrobustbench_schema": str(version)}), path)


def test_rows_come_back_with_the_schemas_columns(table, pretend):
    rows = table(pretend("natural"))
    assert list(rows.columns) == SCHEMA.names


def test_rows_survive_the_way_back_to_arrow(table, pretend):
    rows = table(pretend("natural", tracks=("clean", "corruption")))
    again = to_table(rows)
    assert again.schema.equals(SCHEMA)
    clean = [row for row in again.to_pylist() if row["track"] == "clean"]
    assert clean[0]["severity"] is None
    assert clean[0]["label"] == 0


def test_a_newer_schema_is_refused_in_one_sentence(tmp_path, save, pretend):
    folder = save(tmp_path / "r", pretend("natural", tracks=("clean",)).rows())
    _replace_metadata(folder / "films" / "natural" / "clean.parquet", SCHEMA_VERSION + 1)
    told = rf"schema version {SCHEMA_VERSION + 1}, newer than the {SCHEMA_VERSION} known here; update medrobustbench\.$"
    with pytest.raises(BenchError, match=told):
        read_rows([folder])


@pytest.mark.parametrize("column", ESSENTIAL)
def test_a_file_without_a_column_that_every_file_has_is_refused(tmp_path, save, pretend, column):
    folder = save(tmp_path / "r", pretend("natural", tracks=("clean",)).rows())
    path = folder / "films" / "natural" / "clean.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(BenchError, match=f"lacks the column '{column}'; evaluate again"):
        read_rows([folder])


def test_a_column_of_another_type_is_refused_and_the_file_named(tmp_path, save, pretend):
    folder = save(tmp_path / "r", pretend("natural", tracks=("clean",)).rows())
    path = folder / "films" / "natural" / "clean.parquet"
    table = pq.read_table(path)
    words = pa.array(["many"] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("label"), "label", words), path)
    with pytest.raises(BenchError, match=r"clean\.parquet: column 'label' has type string, not int16; evaluate again"):
        read_rows([folder])


def test_a_truncated_file_is_refused(tmp_path, save, pretend):
    folder = save(tmp_path / "r", pretend("natural", tracks=("clean",)).rows())
    path = folder / "films" / "natural" / "clean.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BenchError, match=r"cannot be read as Parquet .*evaluate again\.$"):
        read_rows([folder])


def test_a_foreign_parquet_is_refused(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(BenchError, match="not a MedRobustBench result file"):
        read_rows([tmp_path])


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(BenchError, match="does not exist"):
        read_rows([tmp_path / "nowhere"])


def test_folders_that_start_with_a_dot_are_not_read(tmp_path, save, pretend):
    save(tmp_path / "r" / ".parts", pretend("natural", tracks=("clean",)).rows())
    assert read_rows([tmp_path / "r"]).empty


def test_a_later_folder_replaces_the_same_track_of_an_earlier_one(tmp_path, save, pretend):
    old = save(tmp_path / "old", pretend("natural", tracks=("clean",)).rows())
    new = save(tmp_path / "new", pretend("natural", tracks=("clean",), wrong_clean=frozenset({1})).rows())
    rows = read_rows([old, new])
    assert len(rows) == 12
    assert int(rows["correct"].sum()) == 11


def test_official_and_unofficial_rows_of_one_track_stand_side_by_side(tmp_path, save, pretend):
    ours = save(tmp_path / "a", pretend("natural", tracks=("clean",)).rows())
    fresh = save(tmp_path / "b", pretend("natural", tracks=("clean",), changes={"official": False}).rows())
    assert read_rows([ours, fresh])["official"].value_counts().to_dict() == {True: 12, False: 12}


def test_rows_that_occur_twice_in_one_folder_are_refused(tmp_path, save, pretend):
    rows = pretend("natural", tracks=("clean",)).rows()
    folder = save(tmp_path / "r", rows)
    save(tmp_path / "r" / "copy", rows)
    with pytest.raises(BenchError, match="occur twice"):
        read_rows([folder])


@pytest.mark.parametrize("column", ["eps_255", "norm"])
def test_an_attack_without_a_place_in_the_matrix_is_refused(tmp_path, save, pretend, column):
    rows = pretend("natural").rows()
    next(row for row in rows if row["attack"] == "fgsm")[column] = None
    with pytest.raises(
        BenchError, match=r"natural on films \(white-box, fgsm, .* have no norm or no eps_255; evaluate"
    ):
        read_rows([save(tmp_path, rows)])
