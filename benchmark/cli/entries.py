"""``bench new`` and ``bench validate``: make an entry, and hold it to the contract."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from benchmark.cli.console import Console
from benchmark.cli.defaults import default_dataset
from benchmark.cli.output import DataDir, Json, checked_data_dir, print_json, wide_console
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError

if TYPE_CHECKING:
    from benchmark.submission.contract import Report

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("new")(new_command)
    app.command("validate")(validate_command)


def new_command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and underscores.")],
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", "-d", help="Data set; repeat for several. Default: synthetic_cxr."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="Folder to make it in. Default: the project's submissions, outside a project the current folder.",
        ),
    ] = None,
    board: BoardDir = None,
) -> None:
    """Make a submission that already passes 'bench validate'; its README says what to replace."""
    from benchmark.data.availability import find_card
    from benchmark.submission.scaffold import checked_name, scaffold

    checked_name(name)
    root = root_of(context, board, make=True)
    cards = [find_card(wanted, root) for wanted in dataset or [default_dataset(root)]]
    parent = folder
    if parent is None:
        parent = Path.cwd() if root.installed else root.submissions
        root.refuse_writing(parent, "change to a folder of your own or give --dir FOLDER.")
    made = scaffold(parent, name, cards)
    again = name if made.parent.resolve() == root.submissions.resolve() else shlex.quote(str(made))
    where = "" if board is None else f" --board {shlex.quote(str(board))}"
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"made {made}", markup=False)
    console.print(
        f"next: read its README.md, then run 'bench validate {again}{where}' and "
        f"'bench evaluate {again} --dataset {cards[0].name}{where}'",
        markup=False,
    )


def validate_command(
    context: typer.Context,
    submission: Annotated[str, typer.Argument(help="Name of a submission, or the path of its folder.")],
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", "-d", help="Only this data set of the submission; repeatable.")
    ] = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    board: BoardDir = None,
) -> None:
    """Check a submission: manifest, files, weights, and whether the defense behaves as it declares."""
    checked_data_dir(data_dir)
    root = root_of(context, board)
    from benchmark.submission.manifest import find_folder

    find_folder(root, submission)  # a mistyped name is answered before seconds are spent on importing torch
    from benchmark.submission.contract import Check, check_submission

    with Console(stderr=True).status(f"checking {escape(submission)}") as status:

        def tell(check: Check) -> None:
            status.update(f"checking {escape(submission)} {check.dataset}: after {check.name}")

        report = check_submission(root, submission, dataset or (), data_dir, tell)
    if as_json:
        print_json(report.as_dict())
    else:
        _print(report)
    if len(report.failures) == 1:
        (check,) = report.failures
        where = f" on {check.dataset}" if check.dataset else ""
        told = check.message if check.message.endswith((".", "?")) else f"{check.message}."
        raise BenchError(f"submission '{report.submission}' breaks the contract{where} ({check.name}): {told}")
    if report.failures:
        names = ", ".join(dict.fromkeys(check.name for check in report.failures))
        raise BenchError(
            f"submission '{report.submission}' breaks the contract ({names}); mend what the checks above say."
        )
    if not report.passed:
        raise BenchError(f"submission '{report.submission}' was not run on any image; see the skipped checks above.")


def _print(report: "Report") -> None:
    console = wide_console()
    table = Table("Data set", "Check", "Result")
    table.add_column("What", overflow="fold")
    before = ""
    for check in report.checks:
        if check.dataset != before:
            table.add_section()
            before = check.dataset
        colour = _COLOURS[check.status]
        table.add_row(check.dataset, check.name, f"[{colour}]{check.status}[/]", escape(check.message))
    console.print(table)
    for name, source in report.images.items():
        console.print(f"{name}: checked on {source}", highlight=False, markup=False)
    counts = {status: sum(check.status == status for check in report.checks) for status in _COLOURS}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    console.print(f"{report.submission}: {'passed' if report.passed else 'failed'} ({told})", highlight=False)
