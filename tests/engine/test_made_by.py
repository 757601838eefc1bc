"""Rows carry the hash of the code that made them: of what their attack, view and judge import, and of no more."""

import ast

import pytest

from benchmark.attacks.registry import INSIDE, place_of
from benchmark.engine import made_by
from benchmark.engine.made_by import CELL, DECIDING, PACKAGE, closure, code_hash, code_of, sources

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

FILES = {
    "judge.py": "from benchmark.data.split import cut\n",
    "attacks/__init__.py": "from benchmark.attacks import square\n",
    "attacks/pgd.py": "from benchmark.attacks.ascent import climb\n",
    "attacks/ascent.py": "def climb():\n    from benchmark import judge\n",
    "attacks/square.py": "steps = 1\n",
    "data/__init__.py": "from benchmark.data import drawing\n",
    "data/split.py": "from . import ids\nimport cli.app\nfrom benchmark.cli.app import main\n",
    "data/ids.py": "first = 0\n",
    "data/drawing.py": "",
    "cli/app.py": "from benchmark.attacks import square\n",
    "defense/stage.py": "",
}


def forget():
    for cached in (code_hash, made_by._file_of, made_by._content, made_by._imports):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in which judge and attacks decide rows."""
    folder = tmp_path / "benchmark"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(made_by, "PACKAGE", folder)
    monkeypatch.setattr(made_by, "DECIDING", ("attacks", "data", "defense", "judge.py"))
    monkeypatch.setattr(made_by, "OF_ENTRIES", ("defense",))
    forget()
    yield folder
    forget()


PGD = "benchmark.attacks.pgd"


def changed_by(package, name, *places):
    before = code_hash(*places)
    (package / name).write_text(FILES.get(name, "") + "more = 1\n")
    forget()
    return code_hash(*places) != before


@pytest.mark.parametrize(
    "name",
    [
        "attacks/pgd.py",
        "attacks/ascent.py",  # imported
        "judge.py",  # imported inside a function, by what is imported
        "data/ids.py",  # imported relative to its package
        "attacks/__init__.py",  # above
        "defense/stage.py",  # entries may use it, however they import it
    ],
)
def test_code_that_a_module_imports_counts(package, name):
    assert changed_by(package, name, PGD)


@pytest.mark.parametrize(
    "name",
    [
        "attacks/square.py",  # another attack, though the package above imports it
        "data/drawing.py",  # from the package above no name is taken
        "cli/app.py",  # decides nothing
        "attacks/new.py",  # nobody imports it
    ],
)
def test_other_code_does_not_count(package, name):
    assert not changed_by(package, name, PGD)


def test_two_classes_of_a_module_are_not_the_same_code(package):
    assert code_hash(f"{PGD}:Pgd") != code_hash(f"{PGD}:Bim")


def test_a_file_that_cannot_be_read_as_code_counts_with_its_bytes(package):
    (package / "attacks" / "pgd.py").write_text("def (")
    assert changed_by(package, "attacks/pgd.py", PGD)


def test_a_process_keeps_the_hash_that_it_began_with(package):
    before = code_hash(PGD)
    (package / "judge.py").write_text("steps = 2\n")
    assert code_hash(PGD) == before


@pytest.mark.parametrize("method", INSIDE)
def test_an_attack_hangs_on_no_other_attack_s_module_but_those_that_it_builds_on(method):
    shared = {"apgd", "ascent", "base", "confirm", "follow", "hyperplane"} | {
        *("minimum_norm", "momentum", "norms", "pgd", "rays", "remaining"),
    }
    own = place_of(method).partition(":")[0].rpartition(".")[2]
    found = {name.rpartition(".")[2] for name in closure([place_of(method).partition(":")[0]]) if ".attacks." in name}
    assert found <= shared | {own}


def test_view_judge_and_task_make_each_cell_and_corruptions_none():
    cell, corrupted = closure([CELL]), closure(code_of("corruption"))
    assert {f"benchmark.{name}" for name in ("access.views", "judge", "task", "verify", "surrogates")} <= set(cell)
    assert "benchmark.corruption.blur" in corrupted
    assert not any(name.startswith("benchmark.corruption") for name in cell)


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
