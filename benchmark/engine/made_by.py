"""Which code made a row, and its hash: what other code made is not taken up by a later run.

The code of a row is the closure of a few modules: what they import, and what that imports, as their source says,
within this package and, for an attack of a plug-in, within the plug-in's own. Editing one attack therefore makes its
cells stale and no others.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from benchmark.results.schema import CLEAN, CORRUPTION, DIAGNOSTIC

PACKAGE = Path(__file__).resolve().parents[1]

DECIDING = (
    *("access", "attacks", "bridges", "corruption", "data", "defense", "engine", "host", "matrix", "models"),
    *(
        "results",
        "task",
        "judge.py",
        "layout.py",
        "passes.py",
        "philox.py",
        "randomness.py",
        "streams.py",
        "surrogates.py",
        "verify.py",
    ),
)
"""Parts of the package ``benchmark`` from which a row is made; imports of other parts are not followed."""

NAMES = "benchmark.attacks.registry"
"""Module that says where attacks are: it makes no row, and a further attack in it changes none."""

OF_ENTRIES = ("bridges", "defense", "host", "models")
"""Parts of which an entry or a surrogate may be built, or in which it runs: they count whole, for every row."""

CELL = "benchmark.engine.cell_run"
"""Module that attacks images and puts them to the judge."""

FIT = "benchmark.engine.fitting"
"""Module that fits attacks on training images."""


def code_of(track: str) -> tuple[str, ...]:
    """Modules that make the rows of a track, its attacks aside."""
    plain = {CLEAN: "clean_track", CORRUPTION: "corruption_track", DIAGNOSTIC: "diagnostics"}
    names = (plain[track],) if track in plain else ("attack_track", "coinciding")
    return tuple(f"benchmark.engine.{name}" for name in names)


def sources(part: str) -> list[Path]:
    """Source files of a part, sorted."""
    place = PACKAGE / part
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


@cache
def code_hash(*places: str) -> str:
    """sha256 over the source of the closure of some modules and of :data:`OF_ENTRIES`, as this process found it first.

    Args:
        places: full names of modules, of this package or of a plug-in's; ``module:class`` for one class of it.
    """
    of_entries = [module for part in OF_ENTRIES for module in _modules_of(part)]
    modules = [place.partition(":")[0] for place in places]
    digest = hashlib.sha256(repr(sorted(places)).encode())
    for module, path in sorted(closure([*modules, *of_entries]).items()):
        digest.update(module.encode() + b"\0" + _content(path) + b"\0")
    return digest.hexdigest()


def closure(modules: Iterable[str]) -> dict[str, Path]:
    """Modules that some modules import, themselves included, with their files; nothing is run.

    An import inside a function counts. The packages above a module count with their own source, but what they import
    is followed only where a name is taken from them.
    """
    waiting = list(modules)
    packages = {"benchmark", *(module.partition(".")[0] for module in waiting)}
    followed: dict[str, Path] = {}
    while waiting:
        module = waiting.pop()
        path = _file_of(module) if _counts(module) and module not in followed else None
        if path is not None:
            followed[module] = path
            waiting += [name for name in _imports(module, path) if name.partition(".")[0] in packages]
    above = {parent for module in followed for parent in _above(module) if _counts(parent)}
    files = {parent: path for parent in above if (path := _file_of(parent)) is not None}
    return files | followed


def _counts(module: str) -> bool:
    """Whether a module can decide a row: any of a plug-in can."""
    package, _, rest = module.partition(".")
    part = rest.partition(".")[0]
    decides = part in DECIDING or f"{part}.py" in DECIDING
    return package != "benchmark" or (decides and module != NAMES)


def _modules_of(part: str) -> Iterator[str]:
    """Full names of a part's modules."""
    for path in sources(part):
        words = ["benchmark", *path.relative_to(PACKAGE).with_suffix("").parts]
        yield ".".join(words[:-1] if words[-1] == "__init__" else words)


def _above(module: str) -> list[str]:
    words = module.split(".")
    return [".".join(words[:count]) for count in range(1, len(words))]


@cache
def _file_of(module: str) -> Path | None:
    """A module's file, source or compiled, found without importing it; None where there is none."""
    package, *words = module.split(".")
    if package == "benchmark":
        places = [PACKAGE]
    else:
        spec = find_spec(package)
        if spec is None:
            return None
        if not spec.submodule_search_locations:
            return Path(spec.origin) if spec.origin and not words else None
        places = [Path(place) for place in spec.submodule_search_locations]
    for place in (place.joinpath(*words) for place in places):
        beside = sorted(place.parent.glob(f"{place.name}.*.so")) if words else []
        for path in (place / "__init__.py", place.with_suffix(".py"), *beside):
            if path.is_file():
                return path
    return None


@cache
def _content(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _imports(module: str, path: Path) -> tuple[str, ...]:
    """Full names of the modules that a file imports; a name imported from a package may be a module or not."""
    try:
        tree = ast.parse(_content(path)) if path.suffix == ".py" else ast.Module([], [])
    except SyntaxError:
        return ()
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, module, path)
            inside = [f"{base}.{alias.name}" for alias in node.names]
            found += [name if _file_of(name) is not None else base for name in inside]
    return tuple(found)


def _base(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The module that a ``from`` import names, in full."""
    if node.level == 0:
        return node.module or ""
    words = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    kept = words[: len(words) - (node.level - 1)]
    return ".".join([*kept, node.module] if node.module else kept)
