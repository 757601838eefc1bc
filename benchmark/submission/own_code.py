"""Whether an entry's source is more than an arrangement of the benchmark's own parts; nothing of it runs."""

import ast
import importlib
from pathlib import Path

_NAMES = {"exec", "eval", "compile", "getattr", "setattr", "delattr", "vars", "globals", "locals", "open", "type"}
"""Names with which a few words do anything."""

_BENIGN = {"__future__", "collections.abc", "typing"}
"""Modules beside the benchmark's that an arrangement of its parts may import."""


def has_own_code(folder: Path) -> bool:
    """Whether any Python file of an entry does more than import parts of the benchmark and arrange them in ``build``.

    What defines classes, further functions or lambdas, imports anything else, or writes into attributes of objects has
    code of its own, which could alter what the parts compute. So has what cannot be read, and an entry without source.

    Args:
        folder: the entry's.
    """
    files = sorted(folder.rglob("*.py"))
    others = [path for pattern in ("*.so", "*.pyd", "*.pyc") for path in folder.rglob(pattern)]
    if not files or any("__pycache__" not in path.parts for path in others):
        return True
    return any(_does_more(path) for path in files if "__pycache__" not in path.parts)


def _does_more(path: Path) -> bool:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return True
    return any(_is_more(node) for node in ast.walk(tree))


def _is_more(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name != "build" or bool(node.decorator_list)
    if isinstance(node, (ast.ClassDef, ast.AsyncFunctionDef, ast.Lambda, ast.Global, ast.Nonlocal, ast.Delete)):
        return True
    if isinstance(node, ast.Import):
        return True
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        inside = module == "benchmark" or module.startswith("benchmark.")
        return node.level > 0 or not (
            module in _BENIGN or (inside and all(_is_a_part(module, a.name) for a in node.names))
        )
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        # What a network or a list of its modules can be told to do alters it.
        return not (isinstance(node.func.value, ast.Name) and node.func.value.id == "context")
    if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
        return True
    if isinstance(node, ast.Attribute):
        return node.attr.startswith("_") or node.attr.startswith("register_")
    return isinstance(node, ast.Name) and (node.id in _NAMES or node.id.startswith("__"))


def _is_a_part(module: str, name: str) -> bool:
    """Whether a name is a class or function of the benchmark's, and nothing that one of its modules has imported."""
    try:
        part = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return False
    return callable(part) and str(getattr(part, "__module__", "")).startswith("benchmark.")
