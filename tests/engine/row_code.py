"""What the code that decides rows looked like when the harness got its version; run this file to pin it anew."""

import ast
import hashlib
import json
from pathlib import Path

from benchmark import __version__

SOURCE = Path(__file__).resolve().parents[2]
PINNED = Path(__file__).with_suffix(".json")
DECIDING = (
    *("access", "attacks", "bridges", "corruption", "data", "defense", "engine", "matrix", "models"),
    *("judge.py", "passes.py", "randomness.py", "surrogates.py", "task.py", "verify.py"),
)
"""Parts of ``benchmark`` from which a row is made."""


def code(text: str) -> str:
    """A module's code without comments, docstrings and layout."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            kept = [one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
            node.body = kept or [ast.Pass()]
    return ast.unparse(tree)


def digest(part: str) -> str:
    place = SOURCE / "benchmark" / part
    found = hashlib.sha256()
    for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
        found.update(f"{path.relative_to(SOURCE).as_posix()}\0{code(path.read_text(encoding='utf-8'))}\0".encode())
    return found.hexdigest()[:16]


def present() -> dict[str, str]:
    return {"version": __version__} | {part: digest(part) for part in DECIDING}


if __name__ == "__main__":
    PINNED.write_text(json.dumps(present(), indent=1) + "\n", encoding="utf-8")
