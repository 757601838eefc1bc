"""The official board without its rows: every number and every place, kept beside the rows that they were computed from.

Reading all rows takes a minute; these files take a second, and they are what an installed package carries.
"""

import hashlib
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmark import __version__
from benchmark.errors import BenchError
from benchmark.files import write_atomically
from leaderboard.effort import efforts
from leaderboard.entries import EntryRows, entries_in
from leaderboard.metrics import records_of
from leaderboard.ranking import Placement, in_order, rank_of
from leaderboard.record import Record

RECORDS, PLACES, EFFORT = "records.parquet", "places.json", "effort.json"

_TYPES = {str: pa.string(), int: pa.int32(), float: pa.float64(), bool: pa.bool_()}


@dataclass(frozen=True)
class Board:
    """Numbers and places of some entries."""

    records: list[Record]
    placements: list[Placement]

    def plus(self, other: "Board") -> "Board":
        """Both together, each with the places that it has alone."""
        return Board([*self.records, *other.records], sorted([*self.placements, *other.placements], key=in_order))


def compute(entries: Sequence[EntryRows], beside: Sequence[EntryRows] = ()) -> Board:
    """Compute a board from rows; entries ``beside`` it may serve as the baseline of relative figures."""
    return Board(records_of(entries, beside=beside), rank_of(entries))


def write_board(results: Path, folder: Path) -> None:
    """Compute the board of the official rows in ``results`` and write it into ``folder``."""
    board = compute(entries_in([results]))
    told = {
        "version": __version__,
        "rows": row_hashes(results),
        "places": [{name: _jsonable(value) for name, value in asdict(one).items()} for one in board.placements],
    }
    write_atomically(folder / RECORDS, _as_parquet(board.records))
    effort = efforts(entries_in([results]))
    write_atomically(folder / EFFORT, (json.dumps(effort, separators=(",", ":")) + "\n").encode())
    write_atomically(folder / PLACES, (json.dumps(told, indent=1, allow_nan=False) + "\n").encode())


def read_board(folder: Path, results: Path | None = None) -> Board | None:
    """Read a board; None without one, of another version of the harness, or of other rows than those in ``results``.

    Raises:
        BenchError: the files are damaged.
    """
    if not (folder / PLACES).is_file() or not (folder / RECORDS).is_file():
        return None
    try:
        told = json.loads((folder / PLACES).read_text(encoding="utf-8"))
        if told.get("version") != __version__ or (
            results is not None and results.is_dir() and told["rows"] != row_hashes(results)
        ):
            return None
        return Board(_from_parquet(folder / RECORDS), [_placement(one) for one in told["places"]])
    except (ValueError, KeyError, TypeError, OSError, pa.ArrowException) as error:
        mend = "restore it, or run 'make records'"
        raise BenchError(f"the board in {folder} cannot be read ({error}); {mend}.") from None


def row_hashes(results: Path) -> dict[str, str]:
    """Return ``dataset/submission`` -> sha256 over the row files of that entry."""
    found: dict[str, str] = {}
    for entry in sorted(path for path in results.glob("*/*") if path.is_dir() and not path.parent.name.startswith(".")):
        digest = hashlib.sha256()
        for path in sorted(entry.glob("*.parquet")):
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        found[f"{entry.parent.name}/{entry.name}"] = digest.hexdigest()
    return found


def _as_parquet(records: Iterable[Record]) -> bytes:
    kinds = {field.name: _TYPES[_plain(field.type)] for field in fields(Record)}
    rows = [vars(record) for record in records]
    columns = {name: pa.array([_jsonable(row[name]) for row in rows], kind) for name, kind in kinds.items()}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd", compression_level=19, write_statistics=False)
    return sink.getvalue()


def _from_parquet(path: Path) -> list[Record]:
    absent: dict[str, Any] = {field.name: math.nan for field in fields(Record) if field.type is float}
    rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    filled: list[dict[str, Any]] = [
        {name: absent.get(name) if value is None else value for name, value in row.items()} for row in rows
    ]
    return [Record(**row) for row in filled]


def _placement(told: dict[str, Any]) -> Placement:
    values: dict[str, Any] = {**told, "reasons": tuple(told["reasons"])}
    absent: dict[str, Any] = {field.name: math.nan for field in fields(Placement) if field.type is float}
    filled: dict[str, Any] = {name: absent.get(name) if value is None else value for name, value in values.items()}
    return Placement(**filled)


def _plain(kind: object) -> type:
    """The type behind ``float | None``."""
    return next(one for one in _TYPES if one is kind or one.__name__ in str(kind))


def _jsonable(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    here = Path(__file__).parent
    write_board(here / "results", here / "records")
