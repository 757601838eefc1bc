"""Files of older schema versions: real ones of versions 1 and 3 below ``old``, and made ones for what may go wrong.

The real ones are a few rows of official files as they were committed at the time; version 2 was never committed, and is
version 3 without the copies of a vote.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.errors import BenchError
from benchmark.results.migrate import RENAMED, upgraded
from benchmark.results.schema import SCHEMA
from benchmark.results.store import read_table
from leaderboard.corruption import sequences
from leaderboard.entries import entries_in
from leaderboard.rows import read_rows

OLD = Path(__file__).parent / "old"
GONE = ("frame", "seed", "prob_true")
SEQUENCE = ["submission", "sample_id", "attack", "severity"]


@pytest.fixture(params=[1, 2, 3])
def old(request, tmp_path):
    """A file of each older version."""
    if request.param != 2:
        return OLD / f"schema-{request.param}.parquet"
    table = pq.read_table(OLD / "schema-3.parquet").drop_columns(["copies"])
    pq.write_table(table.replace_schema_metadata({"medrobustbench_schema": "2"}), tmp_path / "schema-2.parquet")
    return tmp_path / "schema-2.parquet"


def as_written(path):
    """The rows as they stand in the file, by the columns' old names."""
    return pq.read_table(path).to_pandas()


def attacks(rows):
    return rows[rows.track.isin(["white-box", "adaptive"])].reset_index(drop=True)


def frame(number, **changes):
    """The row of one frame as version 3 wrote it."""
    row = {"submission": "one", "dataset": "films", "official": True, "track": "corruption", "attack": "snow"}
    row |= {"severity": 3, "sample_id": "a", "group_id": "a", "frame": number, "seed": 7, "status": "ok", "reason": ""}
    row |= {"label": 1, "pred_clean": 1, "pred": 1, "correct": True, "prob_true": 0.9, "spared": False, "copies": None}
    return row | changes


def sequence(length=4, **changes):
    return [frame(number, **changes) for number in range(length)]


def read(rows, version=3):
    """Rows of an older version as rows of today."""
    return upgraded(pa.Table.from_pylist(rows), version).to_pylist()


def write(path, rows):
    table = pa.Table.from_pylist(rows)
    pq.write_table(table.replace_schema_metadata({"medrobustbench_schema": "3"}), path)
    return path


def test_old_rows_come_under_todays_schema(old):
    table = read_table(old)
    assert table.schema.equals(SCHEMA)
    assert not set(GONE) & set(table.column_names)
    assert list(read_rows([old]).columns) == SCHEMA.names


def test_columns_that_have_another_name_today_keep_what_they_said(old):
    before, after = attacks(as_written(old)), attacks(read_rows([old]))
    for name, today in RENAMED.items():
        if name in before:
            assert after[today].tolist() == before[name].tolist()
    assert after.skipped.any()


def test_what_columns_have_that_are_the_same_today_stays_as_it_was(old):
    before, after = attacks(as_written(old)), attacks(read_rows([old]))
    for name in ("sample_id", "attack", "eps_255", "label", "pred", "correct", "broken_by", "queries"):
        assert after[name].tolist() == before[name].tolist(), name
    assert [list(probs) for probs in after.probs] == [list(probs) for probs in before.probs]


def test_frames_are_joined_into_one_row_a_sequence_in_their_order(old):
    frames = as_written(old).query("track == 'corruption'").sort_values("frame").groupby(SEQUENCE, observed=True)
    rows = read_rows([old]).query("track == 'corruption'").set_index(SEQUENCE)
    assert len(rows) == len(frames) == 8
    for key, part in frames:
        assert rows.loc[key, "preds"].tolist() == part.pred.tolist()
        if part.get("copies", pd.Series(dtype=float)).notna().any():
            assert rows.loc[key, "copies_taken"].tolist() == part.copies.tolist()
            assert rows.loc[key, "scores"].tolist() == part.score.tolist()
    assert (rows.status == "ok").all()
    assert rows[["pred", "right_draws", "probs", "linf"]].isna().all(axis=None)


def test_the_board_finds_the_same_flips_in_joined_frames(old):
    """The share of pairs of frames that differ: with frame 0 under noise, with the one before under snow."""
    (entry,) = [one for one in entries_in([old]) if "corruption" in one.tracks]
    found = sequences(entry)
    for (_, image, attack, severity), part in (
        as_written(old).query("track == 'corruption'").sort_values("frame").groupby(SEQUENCE, observed=True)
    ):
        pred = part.pred.to_numpy()
        before = pred[:1] if attack == "shot_noise" else pred[:-1]
        place = (found.images.index(image), found.perturbations.index(attack), found.severities.index(severity))
        assert found.flips[place] == pytest.approx((pred[1:] != before).mean())
    assert found.flips.max() > 0


def test_columns_that_a_version_did_not_have_yet_are_absent(tmp_path):
    rows = read_rows([OLD / "schema-1.parquet"])
    assert rows[["pixels", "copies", "copies_taken", "made_by", "isolation"]].isna().all(axis=None)
    assert not rows.unranked.any()


def test_a_group_that_is_the_image_itself_becomes_no_group(old):
    assert (as_written(old).group_id == as_written(old).sample_id).all()
    assert read_rows([old]).group_id.isna().all()


def test_a_patient_stays_the_group_of_its_images():
    assert [row["group_id"] for row in read([frame(None, group_id="patient"), frame(None)])] == ["patient", None]


def test_frames_may_stand_in_any_order():
    rows = [frame(2, pred=0), frame(0), frame(3), frame(1)]
    assert [row["preds"] for row in read(rows)] == [[1, 1, 0, 1]]


def test_sequences_of_other_images_severities_and_perturbations_are_others():
    rows = [*sequence(), *sequence(sample_id="b"), *sequence(severity=5), *sequence(attack="tilt", pred=0)]
    assert [(row["sample_id"], row["severity"], row["attack"], sum(row["preds"])) for row in read(rows)] == [
        ("a", 3, "snow", 4),
        ("b", 3, "snow", 4),
        ("a", 5, "snow", 4),
        ("a", 3, "tilt", 0),
    ]


@pytest.mark.parametrize("missing", [0, 1, 3])
def test_a_sequence_that_lacks_a_frame_is_a_gap(missing):
    rows = [one for one in sequence() if one["frame"] != missing]
    whole, holed = read([*sequence(sample_id="b"), *rows])
    assert (whole["status"], whole["reason"]) == ("ok", "")
    assert (holed["status"], holed["reason"]) == ("gap", "a frame is missing")


def test_a_sequence_with_a_frame_that_could_not_be_judged_is_a_gap_with_the_reason_of_the_first():
    rows = sequence()
    rows[1] |= {"status": "gap", "pred": None, "reason": "crash"}
    rows[3] |= {"status": "gap", "pred": None, "reason": "another"}
    (holed,) = read(rows)
    assert (holed["status"], holed["reason"], holed["preds"]) == ("gap", "crash", [1, None, 1, None])


def test_a_gap_of_a_whole_unit_stays_a_row_of_its_own():
    lost = frame(None, sample_id="b", status="gap", reason="crash", attack="none", severity=None)
    (gap, whole) = read([*sequence(), lost])
    assert (gap["status"], gap["reason"], gap["attack"]) == ("gap", "crash", "none")
    assert whole["status"] == "ok"


def test_a_file_of_gaps_alone_has_no_sequence_to_join():
    lost = [frame(None, sample_id=name, status="gap", attack="none", severity=None) for name in "ab"]
    assert [row["status"] for row in read(lost)] == ["gap", "gap"]


def test_a_frame_that_occurs_twice_is_refused(tmp_path):
    path = write(tmp_path / "twice.parquet", [*sequence(), frame(2)])
    with pytest.raises(BenchError, match=r"twice\.parquet: a frame of a corruption sequence occurs twice; evaluate"):
        read_rows([path])


def test_a_part_with_a_frame_twice_is_made_again(tmp_path):
    assert read_table(write(tmp_path / "twice.parquet", [*sequence(), frame(2)])) is None
