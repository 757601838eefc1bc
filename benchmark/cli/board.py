"""``bench site`` and ``bench serve``: from rows to pages."""

import functools
import http.server
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.console import Console
from benchmark.cli.output import refuse_unwritable
from benchmark.cli.rows import Results, entries_beside
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError
from benchmark.root import Root


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("site")(site_command)
    app.command("serve")(serve_command)


def build_and_tell(root: Root, results: Sequence[Path] | None, out: Path, console: Console) -> Path:
    """Build the site from official rows and, beside them, the user's own; print where it is."""
    from benchmark.data.card import sound_cards
    from leaderboard.board import compute, read_board
    from leaderboard.site import build_site

    found = entries_beside(root, results)
    if not found:
        raise BenchError(
            "there are no rows to make a site of; run 'bench evaluate', or get the official ones: 'bench fetch'."
        )
    board = read_board(root.official_records, root.official_results) if root.official_results.is_dir() else None
    if board is not None:
        own = [entry for entry in found if not entry.official]
        board = board.plus(compute(own, beside=[entry for entry in found if entry.official])) if own else board
    for complaint in sound_cards(root.datasets, {entry.dataset for entry in found})[1]:
        console.print(f"left out of the page of data sets: {complaint}", markup=False, highlight=False, soft_wrap=True)
    page = build_site(found, root, out, board=board)
    datasets = {entry.dataset for entry in found if not entry.official}
    # Opens at the board that the reader's own rows are on, where that is one.
    at = f"#dataset={min(datasets)}" if len(datasets) == 1 else ""
    console.print(f"The site is at {page.resolve().as_uri()}{at}", highlight=False, soft_wrap=True)
    return page


def site_command(
    context: typer.Context,
    results: Results = None,
    out: Annotated[Path | None, typer.Option(help="Folder to build into. Default: site.")] = None,
    board: BoardDir = None,
) -> None:
    """Build the static leaderboard; it needs no server."""
    _build(root_of(context, board), results, out)


def _build(root: Root, results: Sequence[Path] | None, out: Path | None) -> Path:
    """Build the site and return its folder."""
    place = out or root.site
    refuse_unwritable(place, "--out")
    build_and_tell(root, results, place, Console())
    return place


def serve_command(
    context: typer.Context,
    results: Results = None,
    out: Annotated[Path | None, typer.Option(help="Folder to build into. Default: site.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8000,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    board: BoardDir = None,
) -> None:
    """Build the site and serve it on this machine until Ctrl-C."""
    built = _build(root_of(context, board), results, out)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(built))
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
