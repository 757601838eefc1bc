"""``bench compare``: two entries on the same images, entries beside what papers print, or the papers' claims."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmark.cli.console import Console
from benchmark.cli.output import print_json, table_of, wide_console
from benchmark.cli.rows import Results, entries_beside, official_folders
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError
from benchmark.matrix.rules import rules
from benchmark.root import Root

if TYPE_CHECKING:
    from leaderboard.entries import EntryRows
    from leaderboard.paired import Difference, Undecided
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
        bool,
        typer.Option("--published", help="Compare with the numbers that papers print for the same defense and attack."),
    ] = False,
    family: Annotated[
        bool,
        typer.Option(
            "--family", help="With --published: for an entry that no paper prints, show other defenses of its family."
        ),
    ] = False,
    claims: Annotated[
        bool, typer.Option("--claims", help="Test the papers' claims that one defense is better than another.")
    ] = False,
    results: Results = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only this data set.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every number of two submissions.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The compared numbers as JSON.")] = False,
    board: BoardDir = None,
) -> None:
    """Compare two submissions on the same images, or entries with the numbers and claims of papers."""
    from leaderboard.entries import entries_in
    from leaderboard.metrics import BASELINE, records_of

    names = submissions or []
    if claims and (names or published):
        raise BenchError("bench compare --claims takes no submissions and no --published: it goes through all claims.")
    if family and not published:
        raise BenchError("bench compare --family needs --published: it adds to it other defenses of an entry's family.")
    if not (published or claims) and len(names) != 2:
        raise BenchError(
            "bench compare takes two submissions, with --published any number of them, with --claims none."
        )
    root = root_of(context, board)
    entries = entries_beside(root, results, dataset, names)
    if claims:
        _compare_claims(root, entries, as_json)
        return
    # Relative flip probabilities refer to the natural baseline.
    beside = entries_in(official_folders(root), [dataset] if dataset else [], [BASELINE]) if names else []
    if published:
        _compare_published(root, records_of(entries, beside=beside), family, as_json)
    else:
        _compare_two(entries, lambda: records_of(entries, beside=beside), names, as_json, everything)


def _budget(record: "Record") -> str:
    from leaderboard.site.tracks import budget

    return "" if record.eps_255 is None else budget(record.eps_255, record.norm)


def _compare_two(
    entries: list["EntryRows"], found: "Callable[[], list[Record]]", names: list[str], as_json: bool, everything: bool
) -> None:
    """Say which of two entries is better, with the differences that tell; then every number, where it is asked for."""
    from leaderboard.paired import differences_of, undecided_of

    first, second = names
    paired = differences_of(entries, first, second)
    if as_json:
        print_json(_as_plain(found(), paired, first, second), indent=1)
        return
    undecided = undecided_of(entries, first, second)
    _print_verdicts(paired, undecided, first, second)
    _print_differences(paired, undecided, first, second)
    if everything:
        _print_numbers(found(), first, second)
    else:
        _print_line(wide_console(), "Every number of both: --all")


def _keyed(found: Sequence["Record"], name: str) -> dict[tuple[object, ...], "Record"]:
    """A submission's records by what they are; an official number stands where an unofficial run gave one too."""
    return {
        (r.dataset, r.track, r.attack, r.norm, r.eps_255, r.severity, r.metric): r
        for r in sorted(found, key=lambda record: record.official)
        if r.submission == name
    }


def _as_plain(
    found: Sequence["Record"], paired: Sequence["Difference"], first: str, second: str
) -> list[dict[str, object]]:
    from dataclasses import asdict

    from leaderboard.record import plain

    one, other = _keyed(found, first), _keyed(found, second)
    told = {_place(each): asdict(each) | {"verdict": each.verdict} for each in paired}
    return [
        {first: plain(one[key]), second: plain(other[key])} | ({"paired": told[key]} if key in told else {})
        for key in one
        if key in other
    ]


def _print_numbers(found: Sequence["Record"], first: str, second: str) -> None:
    table = Table(title=f"{first} beside {second}")
    for column in ("data set", "track", "attack", "budget", "metric", first, second, "difference"):
        table.add_column(column)
    ours, theirs = _keyed(found, first), _keyed(found, second)
    for key in (key for key in ours if key in theirs):
        one, other = ours[key], theirs[key]
        if one.track == "corruption" and one.severity is not None:
            continue
        difference = f"{one.value - other.value:+.3f}" if one.known and other.known else "–"
        values = _number(one), _number(other), difference
        table.add_row(one.dataset, one.track, one.attack, _budget(one), one.metric, *values)
    wide_console().print(table)


def _number(record: "Record") -> str:
    bound = " bound" if record.upper_bound else ""
    return f"{record.value:.3f}{bound}" if record.known else "–"


def _print_verdicts(paired: Sequence["Difference"], undecided: Sequence["Undecided"], first: str, second: str) -> None:
    """One sentence a data set: robust accuracy over all tracks, and clean accuracy."""
    from leaderboard.record import ALL_TRACKS

    datasets = [*(one.dataset for one in paired), *(gap.dataset for gap in undecided)]
    for dataset in dict.fromkeys(datasets):
        told = {one.track: one for one in paired if one.dataset == dataset}
        clauses = [
            f"{words}: {_in_words(told[track])}"
            for track, words in ((ALL_TRACKS, "robust accuracy over all tracks"), ("clean", "clean accuracy"))
            if track in told
        ]
        sentence = "; ".join(clauses) if clauses else "cannot be compared, see below"
        _print_line(wide_console(), f"{dataset}: {first} against {second}: {sentence}.", style="bold")


def _in_words(one: "Difference") -> str:
    interval = f"{100 * one.value:+.1f} points, 95 % interval {100 * one.low:+.1f} to {100 * one.high:+.1f}"
    return f"{one.verdict} ({interval}, {one.n} images)"


def _place(one: "Difference") -> tuple[object, ...]:
    """Where the record stands that a difference belongs to."""
    from leaderboard.record import HEADLINE, WORST_CASE

    if one.track == "clean":
        return (one.dataset, "clean", "none", "", None, None, "accuracy")
    return (one.dataset, one.track, WORST_CASE, *rules().ranking.place, None, HEADLINE)


def _print_differences(
    paired: Sequence["Difference"], undecided: Sequence["Undecided"], first: str, second: str
) -> None:
    """Print the difference on each track, a dash and its reason where there is none."""
    table = Table(
        title=f"{first} minus {second} on the same images: clean accuracy; worst case at L-inf 8/255 on attack tracks"
    )
    for column in ("data set", "track", first, second, "points", "95 % interval", "images"):
        table.add_column(column, justify="left" if column in ("data set", "track") else "right", no_wrap=True)
    table.add_column(f"{first} is", overflow="fold")
    for one in paired:
        points = f"{100 * one.value:+.1f}", f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
        table.add_row(one.dataset, one.track, f"{one.first:.1%}", f"{one.second:.1%}", *points, str(one.n), one.verdict)
    for gap in undecided:
        table.add_row(gap.dataset, gap.track, *("–" for _ in range(5)), gap.reason)
    wide_console().print(table)


def _compare_claims(root: Root, entries: list["EntryRows"], as_json: bool) -> None:
    from dataclasses import asdict

    from leaderboard.board import read_board
    from leaderboard.claims import HOLLOW, HOLLOW_MEANS, TRACKS, orderings
    from leaderboard.published import read_published

    board = read_board(root.official_records, root.official_results)
    # Claims are held against official rows, whose records are there already.
    found = orderings(entries, read_published(), records=board.records if board else None)
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
    from benchmark.data.card import cards_of
    from benchmark.matrix import load_matrix
    from benchmark.submission.manifest import read_manifest
    from leaderboard import published

    present = sorted({record.submission for record in found})
    folders = [root.submissions / name for name in present if (root.submissions / name).is_dir()]
    manifests = {folder.name: read_manifest(folder) for folder in folders}
    cards = cards_of(root.datasets, {record.dataset for record in found})
    setting = published.Setting(load_matrix()[0], manifests, cards)
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
