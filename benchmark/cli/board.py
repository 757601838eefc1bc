"""``bench report``, ``bench site``, ``bench serve``, ``bench compare``: from rows to tables and pages."""

import functools
import http.server
import json
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmark.cli.state import root_of
from benchmark.errors import BenchError, did_you_mean
from benchmark.results.schema import HEADLINE_EPS
from benchmark.root import Root

if TYPE_CHECKING:
    import pandas as pd

Results = Annotated[
    list[Path] | None,
    typer.Option("--results", help="Folder of result rows; repeat for several. The official ones when not given."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("report")(report_command)
    app.command("site")(site_command)
    app.command("serve")(serve_command)
    app.command("compare")(compare_command)


def _rows(folders: list[Path]) -> "pd.DataFrame":
    from leaderboard.rows import read_rows

    for folder in folders:
        if not folder.exists():
            raise BenchError(f"there is no results folder {folder}; run 'bench evaluate --results {folder}' first.")
    return read_rows(folders)


def _official_folders(root: Root) -> list[Path]:
    return [root.official_results] if root.official_results.is_dir() else []


def report_command(
    context: typer.Context,
    results: Results = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only this data set.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record per number.")] = False,
) -> None:
    """Print the board as a table, or every number as JSON."""
    from leaderboard.metrics import headline, records
    from leaderboard.ranking import rank

    rows = _rows(results or _official_folders(root_of(context)))
    if dataset is not None:
        known = sorted(rows["dataset"].astype(str).unique())
        if dataset not in known:
            raise BenchError(f"these results hold no rows of data set '{dataset}'.{did_you_mean(dataset, known)}")
        rows = rows[rows["dataset"].astype(str) == dataset]
    found = records(rows)
    if as_json:
        from leaderboard.record import as_json as to_json

        typer.echo(to_json(found), nl=False)
        return
    console = Console()
    standings = rank(rows)
    for name in dict.fromkeys(standing.dataset for standing in standings):
        table = Table(title=f"{name}: worst case over all tracks, L-inf {HEADLINE_EPS:g}/255, 95 % interval")
        for column in ("rank", "submission", "clean", "robust", "interval", "images", ""):
            table.add_column(column, justify="right" if column in ("rank", "clean", "robust", "images") else "left")
        for standing in standings:
            if standing.dataset != name:
                continue
            clean = next(
                (
                    record.value
                    for record in found
                    if (record.submission, record.dataset, record.official)
                    == (standing.submission, name, standing.official)
                    and (record.track, record.metric) == ("clean", "accuracy")
                ),
                None,
            )
            number = headline(found, standing.submission, name, standing.official)
            place = "–" if standing.rank is None else f"{'=' if standing.tied else ''}{standing.rank}"
            table.add_row(
                place,
                standing.submission,
                "" if clean is None else f"{clean:.1%}",
                "" if number is None else f"{number.value:.1%}",
                "" if number is None else f"{number.low:.1%} – {number.high:.1%}",
                "" if number is None else str(number.n),
                _briefly(standing.reasons),
            )
        console.print(table)
    if not standings:
        console.print("no rows yet; run 'bench evaluate'.")


def _briefly(reasons: Sequence[str]) -> str:
    """The first reasons why an entry is not ranked; its page on the site has them all."""
    shown = "; ".join(reasons[:2])
    return f"{shown}; and {len(reasons) - 2} more" if len(reasons) > 2 else shown


def build_and_tell(root: Root, results: Path | None, out: Path, console: Console) -> Path:
    """Build the site from official rows and, beside them, a run's own; print where it is."""
    from leaderboard.site import build_site

    official = _rows(_official_folders(root))
    own = results is not None and results.is_dir() and results.resolve() != root.official_results.resolve()
    page = build_site(official, root, out, fresh_results=_rows([results]) if own and results else None)
    console.print(f"The site is at {page.resolve().as_uri()}", highlight=False, soft_wrap=True)
    return page


def site_command(
    context: typer.Context,
    results: Annotated[Path | None, typer.Option(help="Your own rows, shown beside the official ones.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to build into.")] = Path("site"),
) -> None:
    """Build the static leaderboard; it needs no server."""
    if results is not None and not results.is_dir():
        raise BenchError(f"there is no results folder {results}; run 'bench evaluate --results {results}' first.")
    if out.exists() and not out.is_dir():
        raise BenchError(f"--out {out} is a file; give a folder.")
    build_and_tell(root_of(context), results, out, Console())


def serve_command(
    context: typer.Context,
    results: Annotated[Path | None, typer.Option(help="Your own rows, shown beside the official ones.")] = None,
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


def compare_command(
    context: typer.Context,
    first: Annotated[str, typer.Argument(help="A submission.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    results: Results = None,
    as_json: Annotated[bool, typer.Option("--json", help="The pairs of records as JSON.")] = False,
) -> None:
    """Put two submissions side by side, number by number."""
    from dataclasses import asdict

    from leaderboard.metrics import records

    found = records(_rows(results or _official_folders(root_of(context))))
    known = sorted({record.submission for record in found})
    for name in (first, second):
        if name not in known:
            raise BenchError(f"these results hold no submission '{name}'.{did_you_mean(name, known)}")
    tables = [
        {(r.dataset, r.track, r.attack, r.eps_255, r.severity, r.metric): r for r in found if r.submission == name}
        for name in (first, second)
    ]
    shared = [key for key in tables[0] if key in tables[1]]
    if as_json:
        typer.echo(json.dumps([{first: asdict(tables[0][k]), second: asdict(tables[1][k])} for k in shared], indent=1))
        return
    table = Table(title=f"{first} beside {second}")
    for column in ("data set", "track", "attack", "eps/255", "metric", first, second, "difference"):
        table.add_column(column)
    for key in shared:
        one, other = tables[0][key], tables[1][key]
        if one.track == "corruption" and one.severity is not None:
            continue
        eps = "" if one.eps_255 is None else f"{one.eps_255:g}"
        values = f"{one.value:.3f}", f"{other.value:.3f}", f"{one.value - other.value:+.3f}"
        table.add_row(one.dataset, one.track, one.attack, eps, one.metric, *values)
    Console().print(table)
