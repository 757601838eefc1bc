"""An entry's code as a package of its own: no name that it uses reaches another entry, or comes from one."""

import builtins
import importlib
import importlib.util
import itertools
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

_PRIVATE = "_medrobustbench_entry_"
_numbers = itertools.count()

_NEVER_OWN = ("benchmark", "leaderboard")
"""Names that always mean the harness, whatever an entry's folder holds."""


def import_file(folder: Path, file: str) -> ModuleType:
    """Import ``folder/file`` anew, as a module of a private package whose path is ``folder``.

    ``from .layers import X`` and ``from layers import X`` both find ``folder/layers.py``, at import and later. The
    second works because modules of the package get an import function of their own: the import path and the public
    names of ``sys.modules`` stay as they are, so two entries may each have their own ``layers``.

    The package's name is the part of the module's ``__name__`` before the dot, for :func:`forget`.

    Raises:
        Exception: whatever the code raises.
    """
    name = f"{_PRIVATE}{next(_numbers)}"
    package = _Package(name, folder)
    sys.meta_path.insert(0, package)
    spec = ModuleSpec(name, None, origin=str(folder), is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        return importlib.import_module(f"{name}.{Path(file).stem}")
    except BaseException:
        forget(name)
        raise


def forget_below(folders: Iterable[Path]) -> None:
    """Forget public modules whose files lie in any of these folders: another entry may have its own of that name."""
    # Both ways to write a folder are compared: asking the disk about every module would take a third of a second.
    tops = tuple({f"{place}{os.sep}" for folder in folders for place in (folder, folder.resolve())})
    # A copy in one step: what is collected meanwhile forgets its own package.
    for name, module in sys.modules.copy().items():
        if name.startswith(_PRIVATE):
            continue
        places = [getattr(module, "__file__", None), *_paths(module)]
        if any(isinstance(place, str) and place.startswith(tops) for place in places):
            sys.modules.pop(name, None)
    importlib.invalidate_caches()


def _paths(module: ModuleType) -> list[object]:
    """Folders of a package; none of what says nonsense of itself."""
    try:
        return [f"{place}{os.sep}" for place in getattr(module, "__path__", ())]
    except Exception:
        return []


def forget(package: str) -> None:
    """Forget a private package and its modules; objects made of them live on."""
    sys.meta_path[:] = [one for one in sys.meta_path if not (isinstance(one, _Package) and one.name == package)]
    for name in sys.modules.copy():
        if name == package or name.startswith(f"{package}."):
            sys.modules.pop(name, None)


class _Loader(SourceFileLoader):
    """Runs a module with the import function of its package."""

    def __init__(self, name: str, path: str, own: Mapping[str, Any]) -> None:
        super().__init__(name, path)
        self._own = own

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = dict(self._own)
        super().exec_module(module)


class _Package(MetaPathFinder):
    """Finds the modules of one private package."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        own = {**vars(builtins), "__import__": self._import}
        self._loaders = (
            (lambda name, path: _Loader(name, path, own), [".py"]),
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
        )

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of this package; nothing else is looked for."""
        del target
        if not fullname.startswith(f"{self.name}.") or path is None:
            return None
        for place in path:
            spec = FileFinder(place, *self._loaders).find_spec(fullname)  # type: ignore[arg-type]
            if spec is not None:
                if spec.loader is None:
                    spec.submodule_search_locations = list(spec.submodule_search_locations or ())
                return spec
        return None

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """``import`` as the package's modules have it: files beside the entry point come first."""
        top = name.partition(".")[0]
        if level or not self._holds(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        found = builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist or (), 0)
        # Without names to take from it, 'import a.b' binds 'a'.
        return found if fromlist else sys.modules[f"{self.name}.{top}"]

    def _holds(self, top: str) -> bool:
        if top in _NEVER_OWN:
            return False
        folder = self._folder / top
        return (self._folder / f"{top}.py").is_file() or (folder.is_dir() and any(folder.rglob("*.py")))
