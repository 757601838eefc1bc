"""Rows carry the hash of the code that made them, and parts of other code are never taken up."""

import ast

import pytest

from benchmark.engine import made_by
from benchmark.engine.made_by import DECIDING, PACKAGE, code_hash, sources

UNDECIDING = {
    "__init__.py": "the version",
    "cli": "what is asked for and how it is told",
    "console.py": "what is told",
    "errors.py": "sentences",
    "interrupts.py": "whose Ctrl-C it is",
    "files.py": "how bytes reach the disk",
    "interpreter.py": "what entries may not leave behind",
    "memory.py": "which no number depends on",
    "root.py": "where folders are",
    "submission": "an entry as its files make it, whose hash is in the rows",
    "toml_model.py": "the reading of files whose hashes are in the rows",
    "training": "weights, whose hashes are in the rows",
}
"""What else the engine imports of the package, and what it is about."""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three files, two of which decide rows."""
    (tmp_path / "attacks").mkdir()
    (tmp_path / "cli").mkdir()
    for name in ("judge.py", "attacks/pgd.py", "cli/app.py"):
        (tmp_path / name).write_text("steps = 1\n")
    monkeypatch.setattr(made_by, "PACKAGE", tmp_path)
    monkeypatch.setattr(made_by, "DECIDING", ("attacks", "judge.py"))
    return tmp_path


def fresh():
    return code_hash.__wrapped__()


@pytest.mark.parametrize("name", ["judge.py", "attacks/pgd.py"])
def test_any_byte_of_code_that_decides_changes_the_hash(package, name):
    before = fresh()
    (package / name).write_text("steps = 2\n")
    assert fresh() != before


def test_a_new_or_a_renamed_file_changes_the_hash(package):
    hashes = [fresh()]
    (package / "attacks" / "new.py").write_text("")
    hashes.append(fresh())
    (package / "attacks" / "new.py").rename(package / "attacks" / "renamed.py")
    hashes.append(fresh())
    assert len(set(hashes)) == 3


def test_code_that_decides_nothing_leaves_the_hash_alone(package):
    before = fresh()
    (package / "cli" / "app.py").write_text("steps = 2\n")
    assert fresh() == before


def test_a_process_keeps_the_hash_that_it_began_with(package):
    code_hash.cache_clear()
    try:
        before = code_hash()
        (package / "judge.py").write_text("steps = 2\n")
        assert code_hash() == before
    finally:
        code_hash.cache_clear()


def imported(path):
    """Modules of the package that a file imports, as their first part below the package."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [one.module for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and one.module]
    found += [alias.name for one in ast.walk(tree) if isinstance(one, ast.Import) for alias in one.names]
    parts = [name.split(".")[1] if "." in name else "__init__" for name in found if name.split(".")[0] == "benchmark"]
    return {part if (PACKAGE / part).is_dir() else f"{part}.py" for part in parts}


def test_all_that_deciding_code_imports_decides_too_or_is_known_not_to():
    used = {part for name in DECIDING for path in sources(name) for part in imported(path)}
    assert used - set(DECIDING) <= set(UNDECIDING)
    assert all((PACKAGE / name).exists() for name in DECIDING)
