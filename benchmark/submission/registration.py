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
    # The table ends with its last assignment: blank lines and comments below belong to what follows.
    pattern = re.compile(
        rf"^\[weights\.{re.escape(dataset)}\]\n(?:(?:(?!\[).*\n)*\w+[^\S\n]*=.*(?:\n|\Z))?", re.MULTILINE
    )
    after, found = pattern.subn(lambda _: table, before, count=1)
    if not found:
        after = f"{before.rstrip()}\n\n{table}"
    write_atomically(path, after.encode())
    try:
        read_manifest(folder)
    except BenchError:
        write_atomically(path, before.encode())
        raise
