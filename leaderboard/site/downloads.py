"""Raw data beside the pages: rows per data set as Parquet, all records as CSV and JSON."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from benchmark.results.migrate import value_type
from benchmark.results.schema import DIAGNOSTIC, SCHEMA
from benchmark.results.store import new_writer
from leaderboard.entries import EntryRows
from leaderboard.published.table import PUBLISHED
from leaderboard.record import as_csv, as_json
from leaderboard.rows import to_table
from leaderboard.site.book import Book

RULES = "data/rules.txt"
"""The rules in the site; as plain text, which every browser shows."""


@dataclass(frozen=True)
class Download:
    """A file of the site: its path below the site, what it holds, and its size in bytes."""

    path: str
    text: str
    size: int
    dataset: str = ""
    official: bool = True


def write_downloads(out_dir: Path, found: list[EntryRows], book: Book, rules: Path) -> tuple[Download, ...]:
    """Write ``data/`` and list what is in it; the file of the rules is copied where there is one."""
    folder = out_dir / "data"
    folder.mkdir(parents=True)
    made: list[Download] = []
    for official in (True, False):
        word = "official" if official else "unofficial"
        for dataset in sorted({entry.dataset for entry in found if entry.official == official}):
            members = [entry for entry in found if (entry.dataset, entry.official) == (dataset, official)]
            path = folder / (f"{dataset}.parquet" if official else f"{dataset}-unofficial.parquet")
            _write_rows(members, path)
            text = f"All {word} rows on {dataset}: one row per image and attack"
            made.append(Download(f"data/{path.name}", text, path.stat().st_size, dataset, official))
        some = [record for record in book.records if record.official == official]
        if some or official:
            for suffix, write in (("csv", as_csv), ("json", as_json)):
                path = folder / (f"records.{suffix}" if official else f"records-unofficial.{suffix}")
                path.write_text(write(some), encoding="utf-8")
                text = f"All {word} figures with their intervals, as {suffix.upper()}"
                made.append(Download(f"data/{path.name}", text, path.stat().st_size, "", official))
    path = Path(shutil.copyfile(PUBLISHED, folder / PUBLISHED.name))
    text = "Published numbers as shares in [0, 1], with source and setting"
    made.append(Download(f"data/{path.name}", text, path.stat().st_size))
    if rules.is_file():
        path = Path(shutil.copyfile(rules, out_dir / RULES))
        made.append(Download(RULES, "The rules, with every attack, its budget and its source", path.stat().st_size))
    return tuple(made)


def _write_rows(members: list[EntryRows], path: Path) -> None:
    """Write the rows of several entries into one file, track by track."""
    plain = pa.schema([pa.field(one.name, value_type(one.type)) for one in SCHEMA])
    with new_writer(path, plain, level=9) as writer:
        for entry in members:
            for track in (*entry.tracks, DIAGNOSTIC):
                rows = entry.track(track)
                if len(rows):
                    writer.write_table(to_table(rows).cast(plain))
