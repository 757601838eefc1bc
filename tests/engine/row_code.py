"""What the code that decides rows looked like when the harness got its version; run this file to pin it anew."""

import ast
import hashlib
import json
from pathlib import Path

from benchmark import __version__
from benchmark.engine.made_by import DECIDING, PACKAGE, sources

PINNED = Path(__file__).with_suffix(".json")


def code(text: str) -> str:
    """A module's code without comments, docstrings and layout."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            kept = [one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
            node.body = kept or [ast.Pass()]
    return ast.unparse(tree)


def digest(part: str) -> str:
    found = hashlib.sha256()
    for path in sources(part):
        place = path.relative_to(PACKAGE.parent).as_posix()
        found.update(f"{place}\0{code(path.read_text(encoding='utf-8'))}\0".encode())
    return found.hexdigest()[:16]


def present() -> dict[str, str]:
    return {"version": __version__} | {part: digest(part) for part in DECIDING}


if __name__ == "__main__":
    PINNED.write_text(json.dumps(present(), indent=1) + "\n", encoding="utf-8")
