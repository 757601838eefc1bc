"""Entering a weight file's sha256 in a manifest, touching nothing else of it."""

import re
from pathlib import Path

from benchmark.errors import BenchError
from benchmark.files import write_atomically
from benchmark.submission.manifest import read_manifest


def register_weights(folder: Path, dataset: str, file: str, sha256: str) -> None:
    """Write ``[weights.<dataset>]`` into ``folder/submission.toml``.

    Raises:
        BenchError: there is no manifest, or it would not be a valid one any more.
    """
    path = folder / "submission.toml"
    if not path.is_file():
        raise BenchError(f"{folder} has no submission.toml; create an entry with 'bench new NAME'.")
    before = path.read_text(encoding="utf-8")
    table = f'[weights.{dataset}]\nfile = "{file}"\nsha256 = "{sha256}"\n'
    pattern = re.compile(rf"^\[weights\.{re.escape(dataset)}\]\n(?:(?!\[).*\n?)*", re.MULTILINE)
    if pattern.search(before):
        after = pattern.sub(lambda found: table + ("\n" if found.group().endswith("\n\n") else ""), before, count=1)
    else:
        after = f"{before.rstrip()}\n\n{table}"
    write_atomically(path, after.encode())
    try:
        read_manifest(folder)
    except BenchError:
        write_atomically(path, before.encode())
        raise
