"""``bench verify``: do the rows still belong to the submission, the data and the matrix that are here?"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.console import Console
from benchmark.cli.output import DataDir, Json, checked_data_dir, print_json, table_of, wide_console
from benchmark.cli.rows import Results, entries_beside, entries_of
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError
from benchmark.results.schema import EXTERNAL
from benchmark.root import Root

if TYPE_CHECKING:
    from benchmark.data.split import Split
    from leaderboard.entries import EntryRows


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify_command)


@dataclass(frozen=True)
class Checked:
    """What was found of one entry's rows on one data set.

    Attributes:
        wrong: what does not agree, one clause each; empty where all agrees.
        unchecked: what could not be looked at, with the reason.
    """

    submission: str
    dataset: str
    official: bool
    tracks: tuple[str, ...]
    wrong: tuple[str, ...]
    unchecked: tuple[str, ...]


def verify_command(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Submissions. Default: all that have rows.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only this data set.")] = None,
    results: Results = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    rerun: Annotated[
        int | None, typer.Option(min=1, help="Evaluate so many images again and compare verdicts, row by row.")
    ] = None,
    track: Annotated[list[str] | None, typer.Option(help="With --rerun: only these tracks.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="With --rerun: processes.")] = 1,
    board: BoardDir = None,
) -> None:
    """Check that rows belong to the submissions, data sets and matrix that are here, and agree with them.

    Hashes are compared, and what the rows say: verdicts, labels, images and cells. With --rerun, check instead that
    verdicts can be computed again. Exit code 1 if something does not agree. Checks the official rows and those in
    'results', unless --results names others.
    """
    checked_data_dir(data_dir)
    root = root_of(context, board)
    if rerun is not None:
        _recompute(root, names or [], dataset, results, Rerun(rerun, tuple(track or ()), workers, data_dir), as_json)
        return
    if track:
        raise BenchError("--track goes with --rerun; give both or neither.")
    broken: dict[Path, str] = {}
    everyone = _entries(root, results, dataset, names or (), broken)
    found = _with_broken(root, [_checked(root, entry, data_dir) for entry in everyone], broken)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _print(found)
    if any(one.wrong for one in found):
        raise typer.Exit(1)


@dataclass(frozen=True)
class Rerun:
    """What to evaluate again: so many images, these tracks (all when empty), and how."""

    images: int
    tracks: tuple[str, ...]
    workers: int
    data_dir: Path | None


def _recompute(
    root: Root, names: list[str], dataset: str | None, results: list[Path] | None, how: Rerun, as_json: bool
) -> None:
    """Evaluate entries again on a few images and say how many verdicts differ from the rows."""
    from benchmark.engine import RunSettings
    from benchmark.engine.rerun import Recomputed, rerun

    if not names:
        raise BenchError("--rerun takes minutes for each entry; name the submissions.")
    found: list[tuple[str, str, Recomputed]] = []
    for entry in _entries(root, results, dataset, names):
        # Nobody here can make outsiders' images again.
        made_here = [track for track in entry.held.tracks if track != EXTERNAL]
        stored = {track: entry.track(track) for track in how.tracks or made_here}
        if missing := [track for track in how.tracks if track not in entry.held.tracks]:
            raise BenchError(f"{entry.submission} on {entry.dataset} has no rows of track {', '.join(missing)}.")
        profile = next(iter(entry.provenance("profile")), "official")
        with tempfile.TemporaryDirectory() as folder:
            settings = RunSettings(
                root=root.path, results=Path(folder), data_dir=how.data_dir, profile=profile, limit=how.images
            )
            done = rerun(settings, entry.submission, entry.dataset, stored, how.workers)
        found += [(entry.submission, entry.dataset, one) for one in done]
    if as_json:
        print_json([{"submission": name, "dataset": where, **asdict(one)} for name, where, one in found])
    else:
        table = table_of("Submission", "Data set", "Track", "Rows", "Differ", "Attacks", whole=("Submission", "Rows"))
        for name, where, one in found:
            table.add_row(name, where, one.track, str(one.rows), str(one.differ), ", ".join(one.attacks))
        wide_console().print(table)
    if any(one.differ for _, _, one in found):
        raise typer.Exit(1)


def _entries(
    root: Root,
    results: list[Path] | None,
    dataset: str | None,
    names: Sequence[str],
    broken: dict[Path, str] | None = None,
) -> "list[EntryRows]":
    """The entries to look at: those of these folders, else the official ones and the user's own."""
    if results:
        found = entries_of(root, results, dataset, names, broken)
    else:
        found = entries_beside(root, None, dataset, names, broken)
    if not found and not broken:
        raise BenchError("there are no rows here; run 'bench fetch' or 'bench evaluate', or give --results.")
    return found


def _print(found: list[Checked]) -> None:
    table = table_of("Submission", "Data set", "Tracks", "Rows", "What", whole=("Submission", "Data set", "Rows"))
    for one in found:
        state = "[bold red]stale[/]" if one.wrong else "[green]in step[/]"
        told = "; ".join((*one.wrong, *(f"not checked: {why}" for why in one.unchecked)))
        table.add_row(one.submission, one.dataset, str(len(one.tracks)), state, told)
    wide_console().print(table)
    stale = sum(bool(one.wrong) for one in found)
    Console(soft_wrap=True).print(
        f"{len(found)} {'entry' if len(found) == 1 else 'entries'}: {len(found) - stale} in step, {stale} stale.",
        highlight=False,
        markup=False,
    )
    if stale:
        Console(soft_wrap=True).print("Evaluate the stale ones again: bench evaluate NAME -d DATASET", highlight=False)


def _with_broken(root: Root, found: list[Checked], broken: dict[Path, str]) -> list[Checked]:
    """Add the files that cannot be opened to what is wrong with the entry that their place names."""
    for path, why in broken.items():
        dataset, submission = path.parent.parent.name, path.parent.name
        official = path.resolve().is_relative_to(root.official_results.resolve())
        place = next(
            (i for i, one in enumerate(found) if (one.dataset, one.submission) == (dataset, submission)), len(found)
        )
        if place == len(found):
            found.append(Checked(submission, dataset, official, (), (), ()))
        found[place] = replace(found[place], wrong=(why.rstrip("."), *found[place].wrong))
    return found


def _checked(root: Root, entry: "EntryRows", data_dir: Path | None) -> Checked:
    from leaderboard import audit

    unchecked = []
    tracks = tuple(entry.held.tracks)
    if wrong := audit.unreadable(entry):
        return Checked(entry.submission, entry.dataset, entry.official, tracks, tuple(wrong), ("all else",))
    for check in (_submission, _matrix):
        wrong += check(root, entry)
    wrong += audit.of_rows(entry)
    try:
        wrong += _images(root, entry, data_dir)
    except BenchError as error:
        unchecked.append(f"images and labels ({error})")
    return Checked(
        entry.submission, entry.dataset, entry.official, tracks, tuple(dict.fromkeys(wrong)), tuple(unchecked)
    )


def _submission(root: Root, entry: "EntryRows") -> list[str]:
    """Rows against the folder of the submission."""
    from benchmark.submission import find_entry

    if not (root.submissions / entry.submission).is_dir():
        return [f"there is no folder submissions/{entry.submission}"]
    try:
        now = find_entry(root, entry.submission).content_hash(entry.dataset)
    except BenchError as error:
        return [str(error)]
    stated = entry.provenance("submission_hash", entry.held.tracks)
    return [] if stated == [now] else [f"submission {_short(stated)} in the rows, {now[:12]} in the folder"]


def _matrix(root: Root, entry: "EntryRows") -> list[str]:
    """Rows against the matrix and the diagnostics in force."""
    from benchmark.matrix import load_matrix
    from benchmark.matrix.diagnostics import load_diagnostics
    from benchmark.results.schema import DIAGNOSTIC

    del root
    wrong = []
    for what, tracks, now in (
        ("matrix", entry.tracks, load_matrix()[1]),
        ("diagnostics", [track for track in entry.held.tracks if track == DIAGNOSTIC], load_diagnostics()[1]),
    ):
        stated = entry.provenance("matrix_hash", tracks)
        if tracks and stated != [now]:
            wrong.append(f"{what} {_short(stated)} in the rows, {now[:12]} in force")
    return wrong


def _images(root: Root, entry: "EntryRows", data_dir: Path | None) -> list[str]:
    """Rows against the images and labels of the data set.

    Raises:
        BenchError: the data is not here.
    """
    from benchmark.data.registry import find_card
    from leaderboard import audit

    split = _test_split(entry.dataset, root, data_dir)
    wrong = audit.of_data(entry, find_card(entry.dataset, root), split)
    known: dict[frozenset[str], str] = {}
    for track in entry.held.tracks:
        stated = entry.provenance("dataset_hash", [track])
        ids = frozenset(entry.track(track)["sample_id"].dropna().astype(str).unique())
        if ids not in known:
            known[ids] = _hash_of(split, ids)
        if stated != [known[ids]]:
            wrong.append(f"images of {track} {_short(stated)} in the rows, {known[ids][:12] or 'other ids'} here")
    return wrong


@lru_cache(maxsize=1)
def _test_split(dataset: str, root: Root, data_dir: Path | None) -> "Split":
    from benchmark.data.registry import find_card, load_split

    return load_split(find_card(dataset, root), "test", root, data_dir)


def _hash_of(split: "Split", ids: frozenset[str]) -> str:
    """Hash of the images of these ids in the split's order; empty where it lacks one."""
    if not ids <= set(split.ids):
        return ""
    return split.by_ids([name for name in split.ids if name in ids]).content_hash


def _short(hashes: list[str]) -> str:
    return ", ".join(one[:12] for one in hashes) or "nothing"
