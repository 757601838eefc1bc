"""What is meant where no data set and no entry is named: the benchmark's own, or those of a private board."""

from collections.abc import Collection

from benchmark.errors import BenchError
from benchmark.root import Root

DEFAULT_DATASET = "synthetic_cxr"
"""The embedded data set, which needs no download."""


def default_dataset(root: Root) -> str:
    """The embedded data set, or a private board's only one.

    Raises:
        BenchError: the board has none, or several.
    """
    if not root.is_board:
        return DEFAULT_DATASET
    names = sorted(path.parent.name for path in root.datasets.glob("*/dataset.toml"))
    if not names:
        raise BenchError(f"board {root.path} has no data set; 'bench datasets import FOLDER --board' brings one in.")
    if len(names) > 1:
        raise BenchError(f"board {root.path} has several data sets; name one of {', '.join(names)} with --dataset.")
    return names[0]


def everyone(root: Root, datasets: Collection[str]) -> list[str]:
    """Names of the shipped baselines, on a private board of all entries, with any of these data sets.

    Raises:
        BenchError: the board has no such entry.
    """
    from benchmark.submission import all_entries

    names = [
        entry.name
        for entry in all_entries(root)
        if (root.is_board or entry.manifest.baseline) and not set(datasets).isdisjoint(entry.manifest.datasets)
    ]
    if root.is_board and not names:
        raise BenchError(
            f"board {root.path} has no entry for {', '.join(datasets)}; make one: bench new NAME --board {root.path}."
        )
    return names
