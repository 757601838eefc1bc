"""Which code makes rows, and its hash: rows of other code are not taken up by a later run."""

import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]

DECIDING = (
    *("access", "attacks", "bridges", "corruption", "data", "defense", "engine", "matrix", "models", "results"),
    *("judge.py", "layout.py", "passes.py", "randomness.py", "surrogates.py", "task.py", "verify.py"),
)
"""Parts of the package ``benchmark`` from which a row is made."""


def sources(part: str) -> list[Path]:
    """Source files of a part, sorted."""
    place = PACKAGE / part
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


@cache
def code_hash() -> str:
    """sha256 over the source files that make rows, as this process found them; taken once a process."""
    digest = hashlib.sha256()
    for path in (path for part in DECIDING for path in sources(part)):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
