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

    from leaderboard.published import Experiment
    from leaderboard.record import Record

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
    from benchmark.data.card import all_cards
    from leaderboard.constant import marks
    from leaderboard.metrics import headline, records
    from leaderboard.ranking import rank

    root = root_of(context)
    rows = _rows(results or _official_folders(root))
    if dataset is not None:
        rows = _only_dataset(rows, dataset)
    found = records(rows)
    if as_json:
        from leaderboard.record import as_json as to_json

        typer.echo(to_json(found), nl=False)
        return
    console = Console()
    standings = rank(rows)
    cards = all_cards(root.datasets)
    for name in dict.fromkeys(standing.dataset for standing in standings):
        table = Table(title=f"{name}: worst case over all tracks, L-inf {HEADLINE_EPS:g}/255, 95 % interval")
        for column in ("rank", "submission", "clean", "majority", "balanced", "robust", "interval", "images"):
            words = column in ("submission", "interval")
            table.add_column(column, justify="left" if words else "right", overflow="fold", no_wrap=not words)
        notes = []
        for standing in (one for one in standings if one.dataset == name):
            key = (standing.submission, name, standing.official)
            own = [record for record in found if (record.submission, record.dataset, record.official) == key]
            clean = {record.metric: f"{record.value:.1%}" for record in own if record.track == "clean"}
            number = headline(found, *key)
            place = "–" if standing.rank is None else f"{'=' if standing.tied else ''}{standing.rank}"
            table.add_row(
                place,
                standing.submission,
                *(clean.get(metric, "") for metric in ("accuracy", "majority_class_rate", "balanced_accuracy")),
                "" if number is None else f"{number.value:.1%}",
                "" if number is None else f"{number.low:.1%} – {number.high:.1%}",
                "" if number is None else str(number.n),
            )
            if standing.reasons:
                notes.append(f"{standing.submission} is not ranked: {_briefly(standing.reasons)}.")
            classes = cards[name].classes if name in cards else ()
            notes += [f"{standing.submission}: {mark}" for mark in marks(own, classes)]
        console.print(table)
        for line in notes:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
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
    submissions: Annotated[
        list[str] | None, typer.Argument(help="Two submissions; with --published any number of them, or all.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Beside the numbers that papers print for the same defense and attack.")
    ] = False,
    results: Results = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only this data set.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The pairs of numbers as JSON.")] = False,
) -> None:
    """Put two submissions side by side, number by number, or entries beside what papers print."""
    from leaderboard.metrics import records

    names = submissions or []
    if not published and len(names) != 2:
        raise BenchError("bench compare takes two submissions; with --published any number of them.")
    root = root_of(context)
    rows = _rows(results or _official_folders(root))
    if dataset is not None:
        rows = _only_dataset(rows, dataset)
    found = records(rows)
    known = sorted({record.submission for record in found})
    for name in names:
        if name not in known:
            raise BenchError(f"these results hold no submission '{name}'.{did_you_mean(name, known)}")
    if published:
        _compare_published(
            root, [record for record in found if not names or record.submission in names], names, as_json
        )
    else:
        _compare_two(found, names[0], names[1], as_json)


def _budget(record: "Record") -> str:
    from leaderboard.site.tracks import budget

    return "" if record.eps_255 is None else budget(record.eps_255, record.norm)


def _only_dataset(rows: "pd.DataFrame", dataset: str) -> "pd.DataFrame":
    known = sorted(rows["dataset"].astype(str).unique())
    if dataset not in known:
        raise BenchError(f"these results hold no rows of data set '{dataset}'.{did_you_mean(dataset, known)}")
    return rows[rows["dataset"].astype(str) == dataset]


def _compare_two(found: list["Record"], first: str, second: str, as_json: bool) -> None:
    from dataclasses import asdict

    # An official number comes last, so that it stands where an unofficial run gave one too.
    ordered = sorted(found, key=lambda record: record.official)
    tables = [
        {
            (r.dataset, r.track, r.attack, r.norm, r.eps_255, r.severity, r.metric): r
            for r in ordered
            if r.submission == name
        }
        for name in (first, second)
    ]
    shared = [key for key in tables[0] if key in tables[1]]
    if as_json:
        typer.echo(json.dumps([{first: asdict(tables[0][k]), second: asdict(tables[1][k])} for k in shared], indent=1))
        return
    table = Table(title=f"{first} beside {second}")
    for column in ("data set", "track", "attack", "budget", "metric", first, second, "difference"):
        table.add_column(column)
    for key in shared:
        one, other = tables[0][key], tables[1][key]
        if one.track == "corruption" and one.severity is not None:
            continue
        values = f"{one.value:.3f}", f"{other.value:.3f}", f"{one.value - other.value:+.3f}"
        table.add_row(one.dataset, one.track, one.attack, _budget(one), one.metric, *values)
    Console().print(table)


def _compare_published(root: Root, found: list["Record"], names: list[str], as_json: bool) -> None:
    from benchmark.data.card import all_cards
    from benchmark.matrix import load_matrix
    from benchmark.submission.manifest import read_manifest
    from leaderboard import published

    present = sorted({record.submission for record in found})
    folders = [root.submissions / name for name in present if (root.submissions / name).is_dir()]
    manifests = {folder.name: read_manifest(folder) for folder in folders}
    setting = published.Setting(load_matrix()[0], manifests, all_cards(root.datasets))
    pairs = published.side_by_side(found, setting)
    if as_json:
        typer.echo(json.dumps([published.as_plain(pair) for pair in pairs], indent=1, ensure_ascii=False))
        return
    console = Console()
    if not pairs:
        typer.echo(published.nothing_to_compare(names, len(published.read_published())))
        return
    for experiment in published.experiments(pairs):
        _print_experiment(console, experiment)


def _print_experiment(console: Console, experiment: "Experiment") -> None:
    """Print lines, not a table: what differs is a sentence, which no column of a terminal has room for."""
    ours, theirs = experiment.ours, experiment.theirs
    entry = ours.submission + ("" if ours.official else " (unofficial)")
    there = f"{theirs.source} ({theirs.year}), {theirs.defense} on {theirs.dataset}, {theirs.model}"
    console.print(
        f"{entry} on {ours.dataset} beside {there}", style="bold", markup=False, highlight=False, soft_wrap=True
    )
    if experiment.differs:
        console.print(
            "  in every line: " + "; ".join(experiment.differs), markup=False, highlight=False, soft_wrap=True
        )
    for pair in experiment.pairs:
        our = pair.ours
        cell = f"{our.track}, {our.attack}" + (f", {_budget(our)}" if our.norm else "")
        worst = "" if pair.worst is None else f", worst case {pair.worst.value:.1%}"
        numbers = (
            f"published {pair.published.value:.1%} (Table {pair.published.table}), "
            f"ours {our.value:.1%} ({our.low:.1%} – {our.high:.1%}){worst}"
        )
        besides = "".join(f"; {clause}" for clause in experiment.rest(pair))
        console.print(
            f"    {cell}, {pair.published.metric}: {numbers}{besides}", markup=False, highlight=False, soft_wrap=True
        )
