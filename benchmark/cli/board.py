"""``bench report``, ``bench site``, ``bench serve``: from rows to tables and pages."""

import functools
import http.server
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmark.cli.output import table_of, wide_console
from benchmark.cli.rows import Results, entries_beside, entries_of
from benchmark.cli.state import root_of
from benchmark.errors import BenchError
from benchmark.results.schema import HEADLINE_EPS
from benchmark.root import Root

if TYPE_CHECKING:
    from leaderboard.record import Record


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("report")(report_command)
    app.command("site")(site_command)
    app.command("serve")(serve_command)


def report_command(
    context: typer.Context,
    results: Results = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only this data set.")] = None,
    clinical: Annotated[
        bool, typer.Option("--clinical", help="Sensitivity, specificity, AUC and calibration, clean and attacked.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record per number.")] = False,
) -> None:
    """Print the board as a table, or every number as JSON."""
    from benchmark.data.card import all_cards
    from leaderboard.constant import marks
    from leaderboard.metrics import headline, records_of
    from leaderboard.ranking import rank_of

    root = root_of(context)
    entries = entries_of(root, results, dataset) if results else entries_beside(root, None, dataset)
    found = records_of(entries)
    if as_json:
        from leaderboard.record import as_json as to_json

        typer.echo(to_json(found), nl=False)
        return
    console = wide_console()
    standings = rank_of(entries)
    cards = all_cards(root.datasets)
    for name in dict.fromkeys(standing.dataset for standing in standings):
        title = f"{name}: worst case over all tracks at {HEADLINE_EPS:g}/255, %, 95 % interval"
        # Light rules leave room for every figure on 80 columns; a name may fold there, a figure must not be cut.
        table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for column in ("rank", "submission", "clean", "majority", "balanced", "robust", "interval", "images"):
            is_name = column == "submission"
            table.add_column(column, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")
        notes = []
        for standing in (one for one in standings if one.dataset == name):
            key = (standing.submission, name, standing.official)
            own = [record for record in found if (record.submission, record.dataset, record.official) == key]
            clean = {record.metric: record for record in own if record.track == "clean"}
            number = headline(found, *key)
            place = "–" if standing.rank is None else f"{'=' if standing.tied else ''}{standing.rank}"
            table.add_row(
                place,
                standing.submission,
                *(_percent(clean.get(metric)) for metric in ("accuracy", "majority_class_rate", "balanced_accuracy")),
                _percent(number),
                f"{100 * number.low:.1f} – {100 * number.high:.1f}" if number is not None and number.known else "–",
                "–" if number is None else str(number.n),
            )
            figures = (clean.get("accuracy"), number)
            reasons = dict.fromkeys(one.reason for one in figures if one is not None and not one.known)
            notes += [f"{standing.submission}: – stands for a gap ({reason})." for reason in reasons]
            if standing.reasons:
                notes.append(f"{standing.submission} is not ranked: {_briefly(standing.reasons)}.")
            classes = cards[name].classes if name in cards else ()
            notes += [f"{standing.submission}: {mark}" for mark in marks(own, classes)]
        console.print(table)
        if clinical:
            _print_clinical(console, found, name, cards[name].classes if name in cards else ())
        for line in notes:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not standings:
        console.print("no rows yet; run 'bench evaluate'.")
    elif not clinical:
        console.print("Sensitivity, specificity, AUC and calibration error of each: bench report --clinical")


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
    table.title = f"{dataset}: clean, and worst case at {HEADLINE_EPS:g}/255; %, per class {' / '.join(classes)}"
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
                "" if place != "clean" and told.clean else key[0] if key[2] else f"{key[0]} (unofficial)",
                place,
                *(_percent(records.get(metric)) for metric in named),
                *(" / ".join(_percent(line[metric]) for line in lines) for metric in ("sensitivity", "specificity")),
            )
    console.print(table)
    console.print("majority: what one answer for all would score; ECE: expected calibration error", highlight=False)


def _percent(record: "Record | None") -> str:
    return f"{100 * record.value:.1f}" if record is not None and record.known else "–"


def _briefly(reasons: Sequence[str]) -> str:
    """The first reasons why an entry is not ranked; its page on the site has them all."""
    shown = "; ".join(reasons[:2])
    return f"{shown}; and {len(reasons) - 2} more" if len(reasons) > 2 else shown


def build_and_tell(root: Root, results: Sequence[Path] | None, out: Path, console: Console) -> Path:
    """Build the site from official rows and, beside them, the user's own; print where it is."""
    from leaderboard.site import build_site

    page = build_site(entries_beside(root, results), root, out)
    console.print(f"The site is at {page.resolve().as_uri()}", highlight=False, soft_wrap=True)
    return page


def site_command(
    context: typer.Context,
    results: Results = None,
    out: Annotated[Path, typer.Option(help="Folder to build into.")] = Path("site"),
) -> None:
    """Build the static leaderboard; it needs no server."""
    if out.exists() and not out.is_dir():
        raise BenchError(f"--out {out} is a file; give a folder.")
    build_and_tell(root_of(context), results, out, Console())


def serve_command(
    context: typer.Context,
    results: Results = None,
    out: Annotated[Path, typer.Option(help="Folder to build into.")] = Path("site"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8000,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> None:
    """Build the site and serve it on this machine until Ctrl-C."""
    site_command(context, results, out)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(out))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise BenchError(f"port {port} cannot be used ({error.strerror}); choose another with --port.") from None
    address = f"http://127.0.0.1:{port}/"
    Console().print(f"serving {address} until Ctrl-C")
    if browser:
        webbrowser.open(address)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            Console().print("stopped")
