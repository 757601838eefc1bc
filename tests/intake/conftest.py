"""Small folders of images, each with a pattern of its own, and an empty board."""

from pathlib import Path

import pytest

from benchmark.root import Root, open_board

from .pictures import pattern, save


@pytest.fixture
def board(tmp_path: Path) -> Root:
    return open_board(tmp_path / "board", make=True)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Class folders: 20 images of ``sick`` and 15 of ``well``."""
    for label, count in (("sick", 20), ("well", 15)):
        for number in range(count):
            save(tmp_path / "films" / label / f"{number}.png", pattern(f"{label}{number}"))
    return tmp_path / "films"
