"""``bench diagnose``: whether an entry's robust accuracy can be believed, in plain words."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.output import print_json, wide_console
from benchmark.cli.rows import Results, entries_beside
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError

if TYPE_CHECKING:
    from leaderboard.diagnosis import Finding
    from leaderboard.entries import EntryRows

SHOWN = 8
"""Images that are named."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diagnose")(diagnose_command)


def diagnose_command(
    context: typer.Context,
    submission: Annotated[str, typer.Argument(help="Name of the entry.")],
    results: Results = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only this data set.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The indicators as JSON.")] = False,
    board: BoardDir = None,
) -> None:
    """Say which indicators of masked gradients fire for an entry, on which images, and what to do.

    Reads the official rows and those in 'results', unless --results names others. Exit code 1 if one fires that
    keeps the entry off the ranks.
    """
    from leaderboard.diagnosis import diagnosis

    root = root_of(context, board)
    held = [one for one in entries_beside(root, results, dataset, [submission]) if one.submission == submission]
    if not held:
        raise BenchError(f"there are no rows of '{submission}'; run 'bench evaluate {submission}' first.")
    told = [(entry, diagnosis(entry)) for entry in held]
    if as_json:
        print_json([_plain(entry, findings) for entry, findings in told], indent=1)
    else:
        for entry, findings in told:
            _print(entry, findings)
    if any(_unranks(one) for _, findings in told for one in findings):
        raise typer.Exit(1)


def _unranks(finding: "Finding") -> bool:
    return finding.indicator.fires and not finding.indicator.ranks


def _plain(entry: "EntryRows", findings: "tuple[Finding, ...]") -> dict[str, object]:
    return {
        "submission": entry.submission,
        "dataset": entry.dataset,
        "official": entry.official,
        "indicators": [
            {
                **asdict(one.indicator),
                "value": one.indicator.value if one.indicator.value == one.indicator.value else None,
                "fires": one.indicator.fires,
                "means": one.means,
                "to_do": one.to_do,
                "images": list(one.images),
            }
            for one in findings
        ],
    }


def _print(entry: "EntryRows", findings: "tuple[Finding, ...]") -> None:
    console = wide_console()

    def line(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    against = [one for one in findings if _unranks(one)]
    unknown = [one for one in findings if one.indicator.value != one.indicator.value]
    line(f"{entry.submission} on {entry.dataset}, {'official' if entry.official else 'unofficial'} rows")
    if against:
        line("Not ranked: signs of masked gradients.")
    else:
        line("No sign of masked gradients." if not unknown else "No sign of masked gradients in what was run.")
    for one in findings:
        known = one.indicator.value == one.indicator.value
        value = f"{100 * one.indicator.value:.1f} %" if known else "not known"
        mark = "FIRES" if one.indicator.fires else "ok" if known else "?"
        line(f"  {mark:5}  {one.indicator.name}: {value}, at most {100 * one.indicator.bound:.0f} %: {one.means}")
        if one.indicator.fires:
            line(f"         {one.indicator.sentence[0].upper()}{one.indicator.sentence[1:]}.")
            named = ", ".join(one.images[:SHOWN])
            more = f" and {len(one.images) - SHOWN} more" if len(one.images) > SHOWN else ""
            line(f"         Images: {named}{more}.")
            line(f"         {one.to_do}")
    if unknown:
        line(f"  'bench evaluate {entry.submission} -d {entry.dataset}' makes the rows that are missing.")
