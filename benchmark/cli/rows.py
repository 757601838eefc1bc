"""Result rows as commands ask for them: the official ones, and the user's own beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.errors import BenchError, did_you_mean
from benchmark.root import Root

if TYPE_CHECKING:
    from leaderboard.entries import EntryRows

Results = Annotated[
    list[Path] | None,
    typer.Option("--results", help="Folder of your own rows; repeat for several. Default: results."),
]


def official_folders(root: Root) -> list[Path]:
    """The committed official rows, where there are any."""
    return [root.official_results] if root.official_results.is_dir() else []


def own_folders(root: Root, given: Sequence[Path] | None) -> list[Path]:
    """The user's results folders: those given, else ``results`` where it exists; the official one is not among them.

    Raises:
        BenchError: a given folder does not exist.
    """
    _refuse_no_folders(given or ())
    chosen = list(given) if given else [root.results] if root.results.is_dir() else []
    return [folder for folder in chosen if folder.resolve() != root.official_results.resolve()]


def entries_beside(
    root: Root,
    given: Sequence[Path] | None,
    dataset: str | None = None,
    submissions: Sequence[str] = (),
    broken: dict[Path, str] | None = None,
) -> "list[EntryRows]":
    """Find the official entries and, beside them as unofficial ones, the user's own.

    Args:
        root: the project.
        given: the user's results folders, as for :func:`own_folders`.
        dataset: only this data set.
        submissions: only these submissions.
        broken: where given, files that cannot be opened are passed over and put here, each with the reason.

    Raises:
        BenchError: a folder is not there or holds something else than rows, or there are no rows of the data set or of
            a submission.
    """
    from leaderboard.entries import entries_in

    if root.is_board:
        # A private board ranks its own entries: nothing on it is beside something official.
        return entries_of(root, own_folders(root, given), dataset, submissions, broken)
    official, own = official_folders(root), own_folders(root, given)
    chosen = [dataset] if dataset else []
    found = entries_in(official, chosen, submissions, unofficial=own, broken=broken)
    if not broken:
        _refuse_absent(root, [*official, *own], found, dataset, submissions)
    return found


def entries_of(
    root: Root,
    folders: Sequence[Path],
    dataset: str | None = None,
    submissions: Sequence[str] = (),
    broken: dict[Path, str] | None = None,
) -> "list[EntryRows]":
    """Find the entries in these folders alone, official where their rows say so; the rest as :func:`entries_beside`."""
    from leaderboard.entries import entries_in

    _refuse_no_folders(folders)
    found = entries_in(folders, [dataset] if dataset else [], submissions, broken=broken)
    if not broken:
        _refuse_absent(root, folders, found, dataset, submissions)
    return found


def _refuse_no_folders(folders: Sequence[Path]) -> None:
    for folder in folders:
        if not folder.exists():
            raise BenchError(f"there is no results folder {folder}; run 'bench evaluate --results {folder}' first.")
        if not folder.is_dir():
            raise BenchError(f"--results {folder} is a file; give the folder that 'bench evaluate' wrote into.")


def _how_to_get(root: Root, name: str, dataset: str | None) -> str:
    """What to do about missing rows of a submission, as a clause."""
    from benchmark.submission.manifest import read_manifest

    folder = root.submissions / name
    if dataset and (folder / "submission.toml").is_file() and dataset not in read_manifest(folder).datasets:
        return f"its manifest names only {', '.join(read_manifest(folder).datasets)}"
    return f"run 'bench evaluate {name}{f' -d {dataset}' if dataset else ''}'"


def _refuse_absent(
    root: Root, folders: Sequence[Path], found: "Sequence[EntryRows]", dataset: str | None, submissions: Sequence[str]
) -> None:
    """Say which data set or submission has no rows, and what there is; only then are all files looked at."""
    from leaderboard.rows import sources

    there = {entry.submission for entry in found}
    absent = [name for name in submissions if name not in there]
    if not absent and (dataset is None or found):
        return
    known = sources(folders)
    datasets, names = sorted({one.dataset for one in known}), sorted({one.submission for one in known})
    if dataset is not None and dataset not in datasets:
        raise BenchError(f"these results hold no rows of data set '{dataset}'.{did_you_mean(dataset, datasets)}")
    for name in absent:
        if name in names:
            raise BenchError(
                f"these results hold no rows of '{name}' on '{dataset}'; {_how_to_get(root, name, dataset)}."
            )
        if not root.official_results.is_dir():
            raise BenchError(
                f"these results hold no rows of '{name}', and the official rows are not part of the installed package; "
                "get them with 'bench fetch'."
            )
        if (root.submissions / name).is_dir():
            raise BenchError(f"these results hold no rows of '{name}' yet; run 'bench evaluate {name}'.")
        raise BenchError(f"these results hold no submission '{name}'.{did_you_mean(name, names)}")
