"""``bench report``: the board in the terminal, and as JSON, CSV, LaTeX or figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmark.cli.console import Console, say
from benchmark.cli.output import refuse_unwritable, table_of, wide_console
from benchmark.cli.rows import Results, entries_of, official_folders, own_folders
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError, did_you_mean
from benchmark.matrix.rules import rules
from benchmark.root import Root

if TYPE_CHECKING:
    from leaderboard.board import Board
    from leaderboard.record import Record
    from leaderboard.summary import Line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report_command)


def report_command(
    context: typer.Context,
    submissions: Annotated[list[str] | None, typer.Argument(help="Only these submissions.")] = None,
    results: Results = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only this data set.")] = None,
    clinical: Annotated[
        bool, typer.Option("--clinical", help="Sensitivity, specificity, AUC and calibration, clean and attacked.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Every number as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Every number as CSV.")] = False,
    as_latex: Annotated[
        bool, typer.Option("--latex", help="A table for a paper, for the LaTeX package booktabs.")
    ] = False,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for figures of a paper, SVG and PDF; needs matplotlib.")
    ] = None,
    board_folder: BoardDir = None,
) -> None:
    """Print the leaderboard: the official entries, and your own from 'results' beside them.

    With --results, only rows of those folders.
    """
    if sum((as_json, as_csv, as_latex)) > 1:
        raise BenchError("--json, --csv and --latex exclude each other; give one.")
    root = root_of(context, board_folder)
    board = _only(load_board(root, results, dataset), submissions or ())
    if figures is not None:
        _draw(board, root, figures)
    if as_json:
        from leaderboard.record import as_json as to_json

        say(to_json(board.records), end="")
    elif as_csv:
        from leaderboard.record import as_csv as to_csv

        say(to_csv(board.records), end="")
    elif as_latex:
        from leaderboard.latex import table

        say(table(board, _titles(board, root)), end="")
    else:
        _print(board, root, clinical)


def load_board(root: Root, results: Sequence[Path] | None, dataset: str | None = None) -> "Board":
    """Load the official board from its files where they are up to date, and compute what is the user's own.

    Args:
        root: the project.
        results: folders whose rows alone are wanted; the official ones and the user's own beside them when not given.
        dataset: only this data set.

    Raises:
        BenchError: as :func:`benchmark.cli.rows.entries_of`.
    """
    from leaderboard.board import Board, compute, read_board
    from leaderboard.entries import entries_in
    from leaderboard.metrics import BASELINE

    chosen = [dataset] if dataset else []
    if root.is_board and not results:
        results = [root.results]
    if results:
        return compute(entries_of(root, results, dataset))
    official = read_board(root.official_records, root.official_results)
    if official is None:
        official = compute(entries_in(official_folders(root)))
    own = own_folders(root, None)
    board = official
    if own:
        beside = entries_in(official_folders(root), chosen, [BASELINE])
        board = official.plus(compute(entries_in([], chosen, unofficial=own), beside))
    if dataset is None:
        return board
    known = sorted({one.dataset for one in board.placements})
    if dataset not in known:
        raise BenchError(f"these results hold no rows of data set '{dataset}'.{did_you_mean(dataset, known)}")
    return Board(
        [one for one in board.records if one.dataset == dataset],
        [one for one in board.placements if one.dataset == dataset],
    )


def _only(board: "Board", submissions: Sequence[str]) -> "Board":
    from leaderboard.board import Board

    known = sorted({one.submission for one in board.placements})
    for name in submissions:
        if name not in known:
            raise BenchError(f"these results hold no submission '{name}'.{did_you_mean(name, known)}")
    if not submissions:
        return board
    return Board(
        [one for one in board.records if one.submission in submissions],
        [one for one in board.placements if one.submission in submissions],
    )


def _titles(board: "Board", root: Root) -> dict[str, str]:
    """Titles of the board's entries and data sets by name, where there is a manifest or a card."""
    from benchmark.data.card import cards_of
    from benchmark.submission.manifest import entry_names, read_manifest

    shown = {one.submission for one in board.placements}
    titles = {name: read_manifest(root.submissions / name).title for name in entry_names(root) if name in shown}
    cards = cards_of(root.datasets, {one.dataset for one in board.placements})
    return titles | {name: card.title for name, card in cards.items()}


def _draw(board: "Board", root: Root, folder: Path) -> None:
    refuse_unwritable(folder, "--figures")
    try:
        from leaderboard.figures import draw
    except ImportError:
        raise BenchError(
            "--figures needs matplotlib; install it with: pip install 'medrobustbench[figures]'."
        ) from None
    made = draw(board, _titles(board, root), folder)
    Console(stderr=True, soft_wrap=True).print(f"{len(made)} figures under {folder}/", highlight=False)


def _print(board: "Board", root: Root, clinical: bool) -> None:
    from benchmark.data.card import cards_of
    from leaderboard.summary import lines

    console = wide_console()
    told = lines(board)
    cards = cards_of(root.datasets, {line.placement.dataset for line in told})
    for name in dict.fromkeys(line.placement.dataset for line in told):
        here = [line for line in told if line.placement.dataset == name]
        console.print(_table(console, name, here))
        if clinical:
            _print_clinical(console, board.records, name, cards[name].classes if name in cards else ())
        leaks = cards[name].leakage if name in cards else []
        for note in (
            *(f"leakage: {told}" for told in leaks),
            *_notes(here, board.records, cards[name].classes if name in cards else (), root),
        ):
            console.print(note, markup=False, highlight=False, soft_wrap=True)
    if not told:
        console.print("no rows yet; run 'bench evaluate'.")
    elif not clinical:
        console.print("Sensitivity, specificity, AUC and calibration error of each: bench report --clinical")


def _table(console: Console, dataset: str, here: Sequence["Line"]) -> Table:
    majority = next((line.majority for line in here if line.majority is not None), None)
    constant = f"; a constant prediction scores {_percent(majority)} clean" if majority else ""
    title = f"{dataset}: worst case over all tracks at {rules().ranking.text}, %, 95 % interval{constant}"
    # Light rules leave room for every figure on 80 columns; a name may fold there, a figure must not be cut.
    table = Table(title=title, box=console.light_rules, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("rank", "submission", "clean", "robust", "interval", "corrupted", "flips", "images"):
        is_name = column == "submission"
        table.add_column(column, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")
    for line in here:
        one = line.placement
        table.add_row(
            one.place,
            one.submission + ("" if one.official else " (own)"),
            _percent(line.clean),
            _percent(line.worst),
            "–" if line.worst is None or not line.worst.known else _interval(line.worst),
            _percent(line.corrupted),
            _percent(line.flips),
            "–" if line.worst is None else str(line.worst.n),
        )
    return table


def _notes(here: Sequence["Line"], records: Sequence["Record"], classes: Sequence[str], root: Root) -> list[str]:
    """Sentences below a data set's table: why an entry is not ranked, and what marks it."""
    from leaderboard.constant import marks
    from leaderboard.summary import gap_reasons

    notes = []
    # The reader's own come first: they are what a report is most often called for.
    for line in sorted(here, key=lambda line: line.placement.official):
        one = line.placement
        key = (one.submission, one.dataset, one.official)
        own = [record for record in records if (record.submission, record.dataset, record.official) == key]
        if one.reasons:
            notes.append(f"{one.submission} is not ranked: {_briefly(one.reasons)}.")
        figures = (line.clean, line.worst, line.corrupted, line.flips)
        notes += [f"{one.submission}: – stands for a gap ({why})." for why in gap_reasons(figures)[:2]]
        about = (*_gradient_marks(root, line), *marks(own, classes))
        notes += [f"{one.submission}: {mark[0].lower()}{mark[1:]}" for mark in about]
    if any(line.worst is not None for line in here):
        notes.append("rank: the ranks that the paired differences leave open; corrupted: accuracy on corrupted images;")
        notes.append("flips: share of frames in which the diagnosis changes, lower is better.")
    return notes


def _gradient_marks(root: Root, line: "Line") -> list[str]:
    """Say that an entry offers no gradient: by its manifest, or by what was measured."""
    from benchmark.submission.manifest import read_manifest
    from leaderboard.indicators import NO_GRADIENT, NO_GRADIENT_BOUND

    folder = root.submissions / line.placement.submission
    measured = line.indicators.get(f"indicator_{NO_GRADIENT}")
    if measured is not None and measured.known and measured.value > NO_GRADIENT_BOUND:
        return [
            f"no gradient: zero or not finite on {100 * measured.value:.0f} % of the images; attacks without decide."
        ]
    if (folder / "submission.toml").is_file() and not read_manifest(folder).gradient:
        return ["no gradient, by its manifest; attacks without one decide."]
    return []


def _print_clinical(console: Console, found: Sequence["Record"], dataset: str, classes: Sequence[str]) -> None:
    """Print what clinicians ask for, per entry on clean images and under the worst case."""
    from leaderboard.record import HEADLINE
    from leaderboard.site.book import Book
    from leaderboard.site.clinicalpage import clinical

    book = Book(found, ())
    heads = (
        "submission",
        "images",
        "accuracy",
        "majority",
        "balanced",
        "AUC",
        "ECE",
        "abstained",
        "sensitivity",
        "specificity",
    )
    table = table_of(*heads, whole=heads[1:-2])
    table.title = f"{dataset}: clean, and worst case at {rules().ranking.text}; %, per class {' / '.join(classes)}"
    for key in sorted({(one.submission, one.dataset, one.official) for one in found if one.dataset == dataset}):
        told = clinical(book, key, classes)
        for place, records, accuracy in (("clean", told.clean, "accuracy"), ("worst case", told.worst, HEADLINE)):
            if not records:
                continue
            named = (
                accuracy,
                "majority_class_rate",
                "balanced_accuracy",
                "auc",
                "calibration_error",
                "abstention_rate",
            )
            lines = [line.clean if place == "clean" else line.worst for line in told.lines]
            table.add_row(
                "" if place != "clean" and told.clean else key[0] if key[2] else f"{key[0]} (own)",
                place,
                *(_percent(records.get(metric)) for metric in named),
                *(" / ".join(_percent(line[metric]) for line in lines) for metric in ("sensitivity", "specificity")),
            )
    console.print(table)
    console.print("majority: what a constant prediction would score; ECE: expected calibration error", highlight=False)


def _percent(record: "Record | None") -> str:
    return "–" if record is None or not record.known else f"{100 * record.value:.1f}"


def _interval(record: "Record") -> str:
    return record.interval(" – ")


def _briefly(reasons: Sequence[str]) -> str:
    """The first reasons why an entry is not ranked; its page on the site has them all."""
    shown = "; ".join(reasons[:2])
    return f"{shown}; and {len(reasons) - 2} more" if len(reasons) > 2 else shown
