"""``bench compare``: two entries on the same images, entries beside what papers print, or the papers' claims."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmark.cli.console import Console
from benchmark.cli.output import print_json, table_of, wide_console
from benchmark.cli.rows import Results, official_folders, only_dataset, read_folders
from benchmark.cli.state import root_of
from benchmark.errors import BenchError, did_you_mean
from benchmark.results.schema import HEADLINE_EPS
from benchmark.root import Root

if TYPE_CHECKING:
    import pandas as pd

    from leaderboard.paired import Difference
    from leaderboard.published import EntryKey, Experiment
    from leaderboard.record import Record


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare_command)


def compare_command(
    context: typer.Context,
    submissions: Annotated[
        list[str] | None, typer.Argument(help="Two submissions; with --published any number of them, or all.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Beside the numbers that papers print for the same defense and attack.")
    ] = False,
    family: Annotated[
        bool,
        typer.Option(
            "--family", help="With --published: other defenses of its family beside an entry that no paper prints."
        ),
    ] = False,
    claims: Annotated[
        bool, typer.Option("--claims", help="Which orders of defenses that papers print hold here.")
    ] = False,
    results: Results = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only this data set.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The pairs of numbers as JSON.")] = False,
) -> None:
    """Put two submissions side by side, number by number, or entries beside what papers print or claim."""
    from leaderboard.metrics import records

    names = submissions or []
    if claims and (names or published):
        raise BenchError("bench compare --claims takes no submissions and no --published: it goes through all claims.")
    if family and not published:
        raise BenchError("bench compare --family needs --published: it adds to it other defenses of an entry's family.")
    if not (published or claims) and len(names) != 2:
        raise BenchError(
            "bench compare takes two submissions, with --published any number of them, with --claims none."
        )
    root = root_of(context)
    rows = read_folders(results or official_folders(root))
    if dataset is not None:
        rows = only_dataset(rows, dataset)
    if claims:
        _compare_claims(rows, as_json)
        return
    found = records(rows)
    known = sorted({record.submission for record in found})
    for name in names:
        if name not in known:
            if (root.submissions / name).is_dir():
                raise BenchError(f"these results hold no rows of '{name}' yet; run 'bench evaluate {name}'.")
            raise BenchError(f"these results hold no submission '{name}'.{did_you_mean(name, known)}")
    if published:
        _compare_published(
            root, [record for record in found if not names or record.submission in names], family, as_json
        )
    else:
        _compare_two(rows, found, names[0], names[1], as_json)


def _budget(record: "Record") -> str:
    from leaderboard.site.tracks import budget

    return "" if record.eps_255 is None else budget(record.eps_255, record.norm)


def _compare_two(rows: "pd.DataFrame", found: list["Record"], first: str, second: str, as_json: bool) -> None:
    from dataclasses import asdict

    from leaderboard.paired import differences

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
    paired = differences(rows, first, second)
    if as_json:
        told = {_place(one): asdict(one) | {"verdict": one.verdict} for one in paired}
        pairs = [
            {first: asdict(tables[0][k]), second: asdict(tables[1][k])} | ({"paired": told[k]} if k in told else {})
            for k in shared
        ]
        print_json(pairs, indent=1)
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
    wide_console().print(table)
    _print_differences(paired, first, second)


def _place(one: "Difference") -> tuple[object, ...]:
    """Where the record stands that a difference belongs to."""
    from leaderboard.record import HEADLINE, WORST_CASE

    if one.track == "clean":
        return (one.dataset, "clean", "none", "", None, None, "accuracy")
    return (one.dataset, one.track, WORST_CASE, "linf", HEADLINE_EPS, None, HEADLINE)


def _print_differences(paired: Sequence["Difference"], first: str, second: str) -> None:
    """Say what the numbers of the table let one conclude."""
    if not paired:
        return
    table = Table(title=f"{first} less {second} on the same images: accuracy clean, worst case at L-inf 8/255 else")
    for column in ("data set", "track", first, second, "points", "95 % interval", "images", f"{first} is"):
        table.add_column(column, justify="left" if column in ("data set", "track") else "right", no_wrap=True)
    for one in paired:
        points = f"{100 * one.value:+.1f}", f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
        table.add_row(one.dataset, one.track, f"{one.first:.1%}", f"{one.second:.1%}", *points, str(one.n), one.verdict)
    wide_console().print(table)


def _compare_claims(rows: "pd.DataFrame", as_json: bool) -> None:
    from dataclasses import asdict

    from leaderboard.claims import HOLLOW, HOLLOW_MEANS, TRACKS, orderings
    from leaderboard.entries import entries
    from leaderboard.published import read_published

    found = orderings(entries(rows), read_published())
    if as_json:
        verdicts = [{track: one.verdict(track) for track in one.differences if track != "clean"} for one in found]
        print_json([asdict(one) | {"verdicts": told} for one, told in zip(found, verdicts, strict=True)])
        return
    console = wide_console()
    if not found:
        console.print("no claim has official rows of both its entries; run 'bench evaluate'.")
        return
    table = table_of("claim", "in print", "data set", *TRACKS, whole=("claim", "data set"))
    table.title = "orders of defenses: verdict at L-inf 8/255, both in %, difference in points with 95 % interval"
    for one in found:
        told = [one.told(track) for track in TRACKS]
        table.add_row(one.claim, str(one.printed), one.dataset, *told)
    console.print(table)
    if any(one.hollow for one in found):
        console.print(f"{HOLLOW}: {HOLLOW_MEANS}; an order with it says little.", highlight=False, soft_wrap=True)


def _compare_published(root: Root, found: list["Record"], family: bool, as_json: bool) -> None:
    from benchmark.data.card import all_cards
    from benchmark.matrix import load_matrix
    from benchmark.submission.manifest import read_manifest
    from leaderboard import published

    present = sorted({record.submission for record in found})
    folders = [root.submissions / name for name in present if (root.submissions / name).is_dir()]
    manifests = {folder.name: read_manifest(folder) for folder in folders}
    setting = published.Setting(load_matrix()[0], manifests, all_cards(root.datasets))
    pairs = published.side_by_side(found, setting, family=family)
    if as_json:
        print_json([published.as_plain(pair) for pair in pairs], indent=1)
        return
    console = wide_console()
    for _, group in groupby(published.experiments(pairs), key=lambda one: published.entry_of(one.ours)):
        _print_entry(console, list(group))
    _print_alone(console, published.alone(found, pairs, setting))
    if not found:
        console.print("no rows yet; run 'bench evaluate'.")


def _print_alone(console: Console, reasons: Mapping["EntryKey", str]) -> None:
    """Print a line per submission and reason: most often the reason is the same on every data set."""
    datasets: dict[tuple[str, str], list[str]] = {}
    for (submission, dataset, official), why in reasons.items():
        entry = submission + ("" if official else " (unofficial)")
        datasets.setdefault((entry, why), []).append(dataset)
    for (entry, why), where in sorted(datasets.items()):
        _print_line(console, f"{entry} on {', '.join(where)}: {why}")


def _print_entry(console: Console, found: Sequence["Experiment"]) -> None:
    """Print an entry, what its accuracy has to be read against, and the experiments beside it."""
    ours, background = found[0].ours, found[0].background
    entry = ours.submission + ("" if ours.official else " (unofficial)")
    _print_line(console, f"{entry} on {ours.dataset}", style="bold")
    _print_line(console, "  " + " ".join((background.sentence, *background.marks)))
    for experiment in found:
        _print_experiment(console, experiment)


def _print_experiment(console: Console, experiment: "Experiment") -> None:
    """Print lines, not a table: what differs is a sentence, which no column of a terminal has room for."""
    theirs = experiment.theirs
    there = f"{theirs.source} ({theirs.year}), {theirs.defense} on {theirs.dataset}, {theirs.model}"
    _print_line(console, f"  beside {there}", style="bold")
    if experiment.differs:
        _print_line(console, "    in every line: " + "; ".join(experiment.differs))
    for pair in experiment.pairs:
        our = pair.ours
        cell = f"{our.track}, {our.attack}" + (f", {_budget(our)}" if our.norm else "")
        worst = "" if pair.worst is None else f", worst case {pair.worst.value:.1%}"
        numbers = (
            f"published {pair.published.value:.1%} (Table {pair.published.table}), "
            f"ours {our.value:.1%} ({our.low:.1%} – {our.high:.1%}){worst}"
        )
        besides = "".join(f"; {clause}" for clause in experiment.rest(pair))
        _print_line(console, f"    {cell}, {pair.published.metric}: {numbers}{besides}")


def _print_line(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
