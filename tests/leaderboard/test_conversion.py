"""The board that version 0.4.0 computed from rows of schema 3: no number has changed with the conversion to schema 4.

``board_v0.4.0.json`` holds for each official pair of data set and entry the number of records, a digest of them and
its place. The code of version 0.4.0 made it from its own rows (commit 71d7c4f), before any row was converted.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from leaderboard.board import Board, compute, read_board
from leaderboard.entries import entries_in
from leaderboard.record import plain

OFFICIAL = Path(__file__).resolve().parents[2] / "leaderboard"
BEFORE: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("board_v0.4.0.json").read_text("utf-8"))
SAID = ("track", "attack", "norm", "eps_255", "severity", "metric", "value", "low", "high", "n", "complete")
NEW = {
    *("indicator_monotonicity", "indicator_large_radius", "indicator_no_gradient", "indicator_hidden"),
    "inference_cost",
}


def told(value: object) -> str:
    """A number with nine digits, anything else as it is; empty for what is missing.

    Bounds are quantiles of sums, which another processor may add in another order: the factor takes what is a tie in
    the tenth digit up everywhere.
    """
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value * (1 + 1e-12):.9g}"
    return "" if value is None else str(value)


def digest(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Count and SHA-256 of the records that version 0.4.0 has too, in an order of their own."""
    lines = sorted("|".join(told(record[name]) for name in SAID) for record in records if record["metric"] not in NEW)
    return {"records": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def by_pair(board: Board) -> dict[str, dict[str, Any]]:
    """The board in the form of the file of version 0.4.0."""
    records: dict[str, list[dict[str, Any]]] = {}
    for record in board.records:
        records.setdefault(f"{record.dataset}/{record.submission}", []).append(plain(record))
    places = {f"{one.dataset}/{one.submission}": one for one in board.placements}
    return {
        pair: {**digest(found), "rank": places[pair].rank, "value": told(places[pair].value)}
        for pair, found in records.items()
    }


@pytest.fixture(scope="module")
def official() -> Board:
    board = read_board(OFFICIAL / "records", OFFICIAL / "results")
    assert board is not None, "the records are of other rows or of another version: run 'make records'"
    return board


@pytest.fixture(scope="module")
def now(official: Board) -> dict[str, dict[str, Any]]:
    return by_pair(official)


def numbers(board: Board, submission: str) -> dict[tuple[object, ...], list[float]]:
    """The numbers of an entry on the embedded set, by what they are."""
    return {
        tuple(getattr(one, name) for name in ("track", "attack", "norm", "eps_255", "severity", "metric")): [
            one.value,
            one.low,
            one.high,
            float(one.n),
        ]
        for one in board.records
        if (one.submission, one.dataset) == (submission, "synthetic_cxr")
    }


def test_all_pairs_of_the_board_had_rows_before(now: dict[str, dict[str, Any]]) -> None:
    assert sorted(now) == sorted(BEFORE)


@pytest.mark.parametrize("pair", sorted(BEFORE))
def test_no_number_and_no_rank_has_changed(now: dict[str, dict[str, Any]], pair: str) -> None:
    assert now[pair] == BEFORE[pair]


@pytest.mark.parametrize("submission", ["natural", "medrdf_sp_mf"])
def test_the_committed_records_are_what_the_rows_give(official: Board, submission: str) -> None:
    """Of a deterministic entry and of a vote; places aside, as these need the whole board.

    Bounds are quantiles of sums, which another processor may add in another order.
    """
    found = [entry for entry in entries_in([OFFICIAL / "results"]) if entry.dataset == "synthetic_cxr"]
    fresh, committed = numbers(compute(found), submission), numbers(official, submission)
    assert fresh == {place: pytest.approx(values, rel=1e-9, nan_ok=True) for place, values in committed.items()}
