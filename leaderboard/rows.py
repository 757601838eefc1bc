"""Read result rows: Parquet files of any accepted schema version into one pandas table."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmark.errors import BenchError
from benchmark.results.schema import ATTACK_TRACKS, SCHEMA, SCHEMA_VERSION

VERSION_KEY = b"medrobustbench_schema"

_FALSE_WHEN_NULL = ("official", "individual", "correct", "abstained", "spared", "informative")
"""Truth columns: a row without a verdict is not correct; ``status`` tells that it is a gap."""

Unit = tuple[str, str, str, bool]
"""(submission, data set, track, official)."""

_UNIT = ["submission", "dataset", "track", "official"]

IDENTITY = (
    "submission",
    "dataset",
    "official",
    "track",
    "attack",
    "norm",
    "eps_255",
    "severity",
    "frame",
    "sample_id",
)
"""Columns that together name one row of an entry."""


def read_rows(folders: Iterable[Path | str]) -> pd.DataFrame:
    """Read every ``*.parquet`` below the folders (dot-folders are skipped) into one table with the schema's columns.

    Text columns are categorical; numeric columns with nulls are float with NaN; truth columns are false where null.
    Where two folders hold the same (submission, data set, track) with the same ``official`` mark, the later folder
    wins, so a fresh run replaces a stale one and no image is ever counted twice.

    Raises:
        BenchError: a folder is missing, or a file is truncated, foreign, of a newer schema, repeats rows, or holds
            attacks without a budget.
    """
    tables = [(order, _read(path)) for order, folder in enumerate(folders) for path in parquet_files(Path(folder))]
    if not tables:
        return to_frame(SCHEMA.empty_table())
    units = [_units(table) for _, table in tables]
    # Folders come in order, so the last one that holds a unit is the one that stays.
    newest = {unit: order for (order, _), held in zip(tables, units, strict=True) for unit in held}
    kept = [
        _only(table, held, {unit for unit in held if newest[unit] == order})
        for (order, table), held in zip(tables, units, strict=True)
    ]
    rows = to_frame(pa.concat_tables(kept))
    _refuse_placeless(rows)
    _refuse_repeats(rows)
    return rows


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


def _read(path: Path) -> pa.Table:
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BenchError(f"{path} cannot be read as Parquet ({why}); delete it and evaluate again.") from None
    stated = (table.schema.metadata or {}).get(VERSION_KEY)
    if stated is None or not stated.isdigit():
        raise BenchError(f"{path} is not a MedRobustBench result file; move it out of the results folder.")
    version = int(stated)
    if version > SCHEMA_VERSION:
        raise BenchError(
            f"{path} has schema version {version}, newer than the {SCHEMA_VERSION} known here; update medrobustbench."
        )
    return _conform(path, table, version)


def _conform(path: Path, table: pa.Table, version: int) -> pa.Table:
    """Bring an older table to today's columns: new columns are null."""
    columns = []
    for field in SCHEMA:
        if field.name in table.column_names:
            try:
                columns.append(table.column(field.name).cast(field.type))
            except pa.ArrowException:
                raise BenchError(
                    f"{path}: column '{field.name}' has type {table.schema.field(field.name).type}, not {field.type}; "
                    "evaluate again with this version of medrobustbench."
                ) from None
        elif version == SCHEMA_VERSION:
            raise BenchError(f"{path} lacks the column '{field.name}'; evaluate again to replace it.")
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _unit_columns(table: pa.Table) -> list[Unit]:
    columns = (table.column(name).to_pylist() for name in _UNIT)
    return list(zip(*columns, strict=True))


def _units(table: pa.Table) -> set[Unit]:
    return set(_unit_columns(table.group_by(_UNIT).aggregate([])))


def _only(table: pa.Table, held: set[Unit], wanted: set[Unit]) -> pa.Table:
    if wanted == held:
        return table
    mask = [unit in wanted for unit in _unit_columns(table)]
    return table.filter(pa.array(mask, pa.bool_()))


def _refuse_placeless(rows: pd.DataFrame) -> None:
    """Refuse attacks without a norm or a budget, which no cell could be found for."""
    attacks = rows["track"].isin(ATTACK_TRACKS) & rows["attack"].notna() & (rows["attack"] != "none")
    placeless = attacks & (rows["eps_255"].isna() | rows["norm"].isna())
    if placeless.any():
        first = rows[placeless].iloc[0]
        raise BenchError(
            f"rows of {first['submission']} on {first['dataset']} ({first['track']}, {first['attack']}, image "
            f"{first['sample_id']}) have no norm or no eps_255; evaluate again to replace them."
        )


def _refuse_repeats(rows: pd.DataFrame) -> None:
    whole_units = rows["sample_id"].isna() | (rows["sample_id"] == "")
    repeated = rows.loc[~whole_units, list(IDENTITY)].duplicated()
    if repeated.any():
        first = rows.loc[repeated.index[repeated][0]]
        raise BenchError(
            f"rows of {first['submission']} on {first['dataset']} ({first['track']}, {first['attack']}, image "
            f"{first['sample_id']}) occur twice in one results folder; delete the older file."
        )
