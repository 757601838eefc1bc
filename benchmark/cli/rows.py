"""Result rows as commands ask for them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.errors import BenchError, did_you_mean
from benchmark.root import Root

if TYPE_CHECKING:
    import pandas as pd

Results = Annotated[
    list[Path] | None,
    typer.Option("--results", help="Folder of result rows; repeat for several. The official ones when not given."),
]


def read_folders(folders: list[Path]) -> "pd.DataFrame":
    """Read the result rows of some folders.

    Raises:
        BenchError: a folder is not there, or holds rows that cannot be read.
    """
    from leaderboard.rows import read_rows

    for folder in folders:
        if not folder.exists():
            raise BenchError(f"there is no results folder {folder}; run 'bench evaluate --results {folder}' first.")
    return read_rows(folders)


def official_folders(root: Root) -> list[Path]:
    """The committed official rows, where there are any."""
    return [root.official_results] if root.official_results.is_dir() else []


def only_dataset(rows: "pd.DataFrame", dataset: str) -> "pd.DataFrame":
    """Leave the rows of one data set.

    Raises:
        BenchError: there are none.
    """
    known = sorted(rows["dataset"].astype(str).unique())
    if dataset not in known:
        raise BenchError(f"these results hold no rows of data set '{dataset}'.{did_you_mean(dataset, known)}")
    return rows[rows["dataset"].astype(str) == dataset]
