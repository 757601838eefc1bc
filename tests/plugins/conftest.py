"""Packages of attacks installed for a test: their code, and a dist-info as an installer writes it."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.attacks import registry
from benchmark.attacks.registry import GROUP

SAMPLE = Path(__file__).parent / "sample" / "striped_attacks"


def install(folder: Path, distribution: str, **attacks: str) -> None:
    """Write the metadata of a package whose entry points are ``name=place``; underscores of names become hyphens."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = [f"{name.replace('_', '-')} = {place}" for name, place in attacks.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path in which the sample package's code lies; no attack is registered there yet."""
    folder = tmp_path / "site"
    shutil.copytree(SAMPLE, folder / SAMPLE.name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    registry._taken.cache_clear()
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in (SAMPLE.name, "broken_attacks"):
            del sys.modules[name]


@pytest.fixture
def striped(place: Path) -> Path:
    """The sample package, installed; returns the folder of its code."""
    install(place, "striped-attacks", stripes="striped_attacks:Stripes")
    return place / SAMPLE.name


@pytest.fixture
def broken(place: Path) -> Callable[[str], None]:
    """Install an attack ``odd`` whose module has some code: ``broken(code)``."""

    def _broken(code: str) -> None:
        (place / "broken_attacks.py").write_text(code)
        install(place, "broken-attacks", odd="broken_attacks:Odd")

    return _broken
