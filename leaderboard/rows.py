"""Read result rows: Parquet files of any accepted schema version, some columns or all, one file or many."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmark.errors import BenchError
from benchmark.results.migrate import read_under_schema, version_of
from benchmark.results.schema import DIAGNOSTIC, ESSENTIAL, SCHEMA, SCHEMA_VERSION, WITHOUT_ATTACKER

_FALSE_WHEN_NULL = ("official", "individual", "correct", "abstained", "skipped", "unranked")
"""Truth columns: a row without a verdict is not correct; ``status`` tells that it is a gap."""

UnitKey = tuple[str, str, str, bool]
"""(submission, data set, track, official)."""

_UNIT = ["submission", "dataset", "track", "official"]

IDENTITY = (*_UNIT, "attack", "norm", "eps_255", "severity", "sample_id")
"""Columns that together name one row."""


def read_rows(folders: Iterable[Path | str]) -> pd.DataFrame:
    """Read every ``*.parquet`` below the folders (dot-folders are skipped) into one table with the schema's columns.

    Text columns are categorical; numeric columns with nulls are float with NaN; truth columns are false where null.
    Where two folders hold the same (submission, data set, track) with the same ``official`` mark, the later folder
    wins, so a fresh run replaces a stale one and no image is ever counted twice.

    All rows of a large board take gigabytes of memory: commands go entry by entry (:mod:`leaderboard.entries`).

    Raises:
        BenchError: a folder is missing, or a file is truncated, foreign, of a newer schema, repeats rows, or holds
            attacks without a budget.
    """
    held = sources(folders)
    if not held:
        return to_frame(SCHEMA.empty_table())
    rows = to_frame(pa.concat_tables([_read_source(one) for one in held]))
    _refuse_placeless(rows)
    _refuse_repeats(rows)
    return rows


@dataclass(frozen=True)
class Source:
    """Rows of one unit in one file; a file may hold several."""

    path: Path
    submission: str
    dataset: str
    track: str
    official: bool

    @property
    def key(self) -> UnitKey:
        """The unit."""
        return (self.submission, self.dataset, self.track, self.official)


def sources(
    folders: Iterable[Path | str],
    datasets: Sequence[str] = (),
    submissions: Sequence[str] = (),
    broken: dict[Path, str] | None = None,
) -> list[Source]:
    """List the units in some folders, of a later folder in place of an earlier one's; rows are not read.

    Args:
        folders: results folders, or single files.
        datasets: only these data sets; all when empty. Files at ``DATASET/SUBMISSION/TRACK.parquet`` of others are not
            even opened.
        submissions: only these submissions; all when empty.
        broken: where given, files that cannot be opened are passed over and put here, each with the reason.

    Raises:
        BenchError: as :func:`read_rows`, but for the rows themselves.
    """

    def wanted(dataset: str, submission: str) -> bool:
        return (not datasets or dataset in datasets) and (not submissions or submission in submissions)

    found: dict[UnitKey, tuple[int, list[Source]]] = {}
    for order, folder in enumerate(map(Path, folders)):
        for path in parquet_files(folder):
            place = path.relative_to(folder).parts
            if len(place) == 3 and not wanted(place[0], place[1]):
                continue
            for source in _sources_of(path) if broken is None else _sources_or_none(path, broken):
                if not wanted(source.dataset, source.submission):
                    continue
                known = found.get(source.key)
                if known is None or known[0] < order:
                    found[source.key] = (order, [source])
                else:
                    known[1].append(source)
    return [source for _, held in found.values() for source in held]


def read_track(held: Sequence[Source]) -> pd.DataFrame:
    """Read all rows of one unit, as :func:`read_rows` does.

    Raises:
        BenchError: as :func:`read_rows`.
    """
    rows = to_frame(pa.concat_tables([_read_source(one) for one in held]))
    _refuse_placeless(rows)
    _refuse_repeats(rows)
    return rows


def read_columns(held: Sequence[Source], columns: Sequence[str]) -> dict[str, list[str]]:
    """Distinct, non-empty values of some text columns over the rows of one unit, each sorted."""
    values: dict[str, set[str]] = {name: set() for name in columns}
    for source in held:
        table = _read_source(source, [*_UNIT, *columns])
        for name in columns:
            values[name].update(str(value) for value in pc.unique(table.column(name)).to_pylist() if value is not None)
    return {name: sorted(found - {""}) for name, found in values.items()}


def read_flag(path: Path, column: str) -> list[bool]:
    """Distinct values of a truth column of a file, null as false.

    Raises:
        BenchError: as :func:`read_rows`.
    """
    return [bool(value) for value in pc.unique(_read(path, [*_UNIT, column]).column(column)).to_pylist()]


def parquet_files(folder: Path) -> list[Path]:
    """List the Parquet files below a folder, or the file itself, in sorted order, without those in dot-folders.

    Raises:
        BenchError: the folder does not exist.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise BenchError(f"results folder {folder} does not exist; run 'bench evaluate' first or correct --results.")
    found = sorted(folder.rglob("*.parquet"))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Turn an Arrow table of the schema into pandas as :func:`read_rows` describes."""
    for name in _FALSE_WHEN_NULL:
        index = table.schema.get_field_index(name)
        table = table.set_column(index, table.schema.field(index), pc.fill_null(table.column(index), False))
    frame: pd.DataFrame = table.unify_dictionaries().to_pandas()
    return frame


def to_table(rows: pd.DataFrame) -> pa.Table:
    """Turn rows back into an Arrow table of the schema, for writing."""
    return pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)


def probabilities(rows: pd.DataFrame) -> NDArray[np.float64] | None:
    """Deployed probabilities (n, classes) of rows, NaN for a row without any; None where no row has some.

    Raises:
        ValueError: rows of data sets with different numbers of classes.
    """
    whole = [None if value is None else np.asarray(value, dtype=np.float64) for value in rows["probs"]]
    partly = [None if value is None else np.asarray(value, dtype=np.float64) for value in rows["probs_but_last"]]
    told = [
        all_of if all_of is not None else None if but_last is None else np.append(but_last, 1 - but_last.sum())
        for all_of, but_last in zip(whole, partly, strict=True)
    ]
    sizes = {len(values) for values in told if values is not None}
    if not sizes:
        return None
    if len(sizes) > 1:
        raise ValueError(f"rows have probabilities of {sorted(sizes)} classes")
    nothing = np.full(sizes.pop(), np.nan)
    return np.stack([nothing if values is None else values for values in told])


def _open(path: Path) -> tuple[pq.ParquetFile, int]:
    try:
        file = pq.ParquetFile(path)
        version = version_of(file)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    if version is None:
        raise BenchError(f"{path} is not a MedRobustBench result file; move it out of the results folder.")
    if version > SCHEMA_VERSION:
        raise BenchError(
            f"{path} has schema version {version}, newer than the {SCHEMA_VERSION} known here; update medrobustbench."
        )
    for name in ESSENTIAL:
        if name not in file.schema_arrow.names:
            raise BenchError(f"{path} lacks the column '{name}'; evaluate again to replace it.")
    return file, version


def _unreadable(path: Path, error: Exception) -> BenchError:
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    return BenchError(f"{path} cannot be read as Parquet ({why}); delete it and evaluate again.")


def _read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file under today's schema; of today's version only these columns, all others then being null."""
    file, version = _open(path)
    try:
        return read_under_schema(file, version, columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    except BenchError as error:
        raise BenchError(f"{path}: {error}; evaluate again with this version of medrobustbench.") from None


def _sources_of(path: Path) -> list[Source]:
    file, _ = _open(path)
    try:
        table = file.read(_UNIT)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    units = table.group_by(_UNIT).aggregate([]).to_pylist()
    keys = [(str(one["submission"]), str(one["dataset"]), str(one["track"]), bool(one["official"])) for one in units]
    return [Source(path, *key) for key in sorted(keys)]


def _sources_or_none(path: Path, broken: dict[Path, str]) -> list[Source]:
    try:
        return _sources_of(path)
    except BenchError as error:
        broken[path] = str(error)
        return []


def _read_source(source: Source, columns: Sequence[str] | None = None) -> pa.Table:
    table = _read(source.path, columns)
    mask = pc.equal(pc.fill_null(table.column("official"), False), source.official)
    for name in ("submission", "dataset", "track"):
        mask = pc.and_(mask, pc.equal(table.column(name).cast(pa.string()), getattr(source, name)))
    return table.filter(mask)


def _refuse_placeless(rows: pd.DataFrame) -> None:
    """Refuse attacks without a norm or a budget, which no cell could be found for."""
    attacked = ~rows["track"].isin([*WITHOUT_ATTACKER, DIAGNOSTIC])
    attacks = attacked & rows["attack"].notna() & (rows["attack"] != "none")
    placeless = attacks & (rows["eps_255"].isna() | rows["norm"].isna())
    if placeless.any():
        first = rows[placeless].iloc[0]
        raise BenchError(
            f"rows of {first['submission']} on {first['dataset']} ({first['track']}, {first['attack']}, image "
            f"{first['sample_id']}) have no norm or no eps_255; evaluate again to replace them."
        )


def _refuse_repeats(rows: pd.DataFrame) -> None:
    whole_units = rows["sample_id"].isna() | (rows["sample_id"] == "")
    named = rows.loc[~whole_units, list(IDENTITY)]
    # Of a clean image there is one row, whatever its attack is called.
    repeated = named.duplicated() | ((named["track"] == "clean") & named.duplicated([*_UNIT, "sample_id"]))
    if repeated.any():
        first = rows.loc[repeated.index[repeated][0]]
        raise BenchError(
            f"rows of {first['submission']} on {first['dataset']} ({first['track']}, {first['attack']}, image "
            f"{first['sample_id']}) occur twice in one results folder; delete the older file."
        )
