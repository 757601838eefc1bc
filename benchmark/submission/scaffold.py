"""``bench new``: a folder that already passes ``bench validate`` and says what to replace."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

import torch

from benchmark.data.card import Card
from benchmark.errors import BenchError
from benchmark.models import NarrowResNet18
from benchmark.randomness import content_seed
from benchmark.submission.manifest import NAME_PATTERN
from benchmark.submission.records import record_path, untrained_record
from benchmark.submission.weights import save_weights
from benchmark.task.build import task_of
from benchmark.task.kinds import KINDS

WIDTH = 8
"""Width of the scaffold's network: 0.4 MB of weights."""

_TEMPLATES = ("submission.toml", "defense.py", "recipe.toml", "README.md")


def checked_name(name: str) -> str:
    """Return a name that may become a submission's.

    Raises:
        BenchError: it does not fit the pattern of names.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise BenchError(
            f"'{name}' cannot be a submission's name; use 2 to 48 lower-case letters, digits and underscores, "
            "starting with a letter."
        )
    return name


def scaffold(parent: Path, name: str, cards: Sequence[Card]) -> Path:
    """Make ``parent/name`` with manifest, code, recipe, README and an untrained network's weights per data set.

    The folder appears whole or not at all. A record beside the weights says that nobody trained them, so that the first
    training or import may replace them.

    Args:
        parent: folder of submissions; made if it does not exist.
        name: the new submission.
        cards: its data sets, at least one.

    Raises:
        BenchError: bad name, existing folder, ``parent`` is a file or cannot be written to, or a data set is given
            twice.
    """
    folder = parent / checked_name(name)
    if folder.exists():
        raise BenchError(f"{folder} exists already; choose another name or remove it.")
    if parent.exists() and not parent.is_dir():
        raise BenchError(f"--dir {parent} is a file; give a folder.")
    names = [card.name for card in cards]
    if len(set(names)) != len(names):
        raise BenchError(f"a data set is given twice among {', '.join(names)}; name each once.")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=parent, prefix=f".{name}."))
    except OSError as error:
        raise BenchError(
            f"no submission can be made in {parent} ({error.filename or parent}: {error.strerror}); correct its "
            "permissions or give --dir FOLDER."
        ) from None
    try:
        _fill(building, name, cards)
        building.chmod(0o755)
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return folder


def _fill(folder: Path, name: str, cards: Sequence[Card]) -> None:
    tables = []
    for card in cards:
        file = f"weights/{card.name}.safetensors"
        digest = save_weights(_untrained(card), folder / file)
        record_path(folder / file).write_bytes(untrained_record(card.name, digest))
        tables.append(f'\n[weights.{card.name}]\nfile = "{file}"\nsha256 = "{digest}"\n')
    words = {
        "name": name,
        "width": str(WIDTH),
        "datasets": ", ".join(f'"{card.name}"' for card in cards),
        "dataset_names": ", ".join(card.name for card in cards),
        "first_dataset": cards[0].name,
        "task": KINDS[cards[0].task].entry,
        "weights": "".join(tables).rstrip("\n"),
    }
    for target in _TEMPLATES:
        template = files("benchmark.submission").joinpath("templates", f"{target}.txt").read_text(encoding="utf-8")
        (folder / target).write_text(Template(template).substitute(words), encoding="utf-8")


def _untrained(card: Card) -> NarrowResNet18:
    """A network whose random weights follow from the data set's name alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(content_seed("scaffold", card.name))
        return NarrowResNet18(task_of(card).outputs, card.channels, width=WIDTH).eval()
