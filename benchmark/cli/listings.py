"""``bench submissions``, ``bench datasets``, ``bench matrix``: what there is. Nothing here imports torch to list."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from benchmark.cli.console import Console, say
from benchmark.cli.output import DataDir, Json, checked_data_dir, print_json, table_of, wide_console
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError

if TYPE_CHECKING:
    from benchmark.matrix.model import Matrix

_COLOURS = {"available": "green", "missing": "yellow", "broken": "red"}

datasets_app = typer.Typer(help="Show which data sets are here, which are missing, and how to get them.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("submissions")(submissions_command)
    app.add_typer(datasets_app, name="datasets")
    app.command("matrix")(matrix_command)


def submissions_command(context: typer.Context, as_json: Json = False, board: BoardDir = None) -> None:
    """List the submissions: name, title, family, data sets, revision, what they declare."""
    from benchmark.submission.manifest import entry_names, read_manifest

    root = root_of(context, board)
    records: list[dict[str, Any]] = []
    broken: list[str] = []
    for name in entry_names(root):
        try:
            manifest = read_manifest(root.submissions / name)
        except BenchError as error:
            broken.append(str(error))
            records.append({"name": name, "error": str(error)})
        else:
            records.append({**manifest.model_dump(mode="json"), "error": None})
    if as_json:
        print_json(records)
    else:
        _print_submissions(records)
    if broken:
        raise BenchError(" ".join(broken))


def _print_submissions(records: list[dict[str, Any]]) -> None:
    table = table_of(
        "Name", "Title", "Family", "Data sets", "Rev.", "Declares", "Baseline", whole=("Name", "Data sets")
    )
    for record in records:
        if record["error"]:
            table.add_row(escape(record["name"]), "[red]broken manifest[/red]", "", "", "", "", "")
            continue
        declared = [
            "randomised" if record["stochastic"] else "deterministic",
            *([] if record["gradient"] else ["no gradient"]),
        ]
        table.add_row(
            *(record["name"], escape(record["title"]), record["defense_family"], "\n".join(record["datasets"])),
            *(str(record["revision"]), ", ".join(declared), "yes" if record["baseline"] else "no"),
        )
    wide_console().print(table if records else "no submissions yet; create one with 'bench new NAME'.")


@datasets_app.callback(invoke_without_command=True)
def datasets_command(
    context: typer.Context, as_json: Json = False, data_dir: DataDir = None, board: BoardDir = None
) -> None:
    """List the data sets and whether they can be used here; ``prepare NAME`` makes one ready."""
    if context.invoked_subcommand is not None:
        return
    from benchmark.data.availability import availability
    from benchmark.data.card import read_card
    from benchmark.data.files import default_data_dir

    root = root_of(context, board)
    where = checked_data_dir(data_dir) or default_data_dir(root)
    records: list[dict[str, Any]] = []
    broken: list[str] = []
    for folder in sorted(path.parent for path in root.datasets.glob("*/dataset.toml")):
        try:
            card = read_card(folder)
        except BenchError as error:
            broken.append(str(error))
            records.append({"name": folder.name, "state": "broken", "sentence": str(error)})
            continue
        found = availability(card, where)
        records.append(
            {
                **card.model_dump(mode="json", exclude={"official": {"ids", "exclude"}}),
                "state": found.state,
                "sentence": found.sentence,
            }
        )
    if as_json:
        print_json(records)
    else:
        _print_datasets(records, where)
    if broken:
        raise BenchError(" ".join(broken))


def _print_datasets(records: list[dict[str, Any]], where: Path) -> None:
    table = table_of(
        *("Name", "Title", "Classes", "Pixels", "Train/val/test", "Official", "State"),
        whole=("Name", "Pixels", "Train/val/test", "State"),
    )
    for record in records:
        state = f"[{_COLOURS[record['state']]}]{record['state']}[/]"
        if "splits" not in record:
            table.add_row(escape(record["name"]), "broken card", "", "", "", "", state)
            continue
        sizes = "/".join(str(record["splits"][split]) for split in ("train", "val", "test"))
        table.add_row(
            *(record["name"], escape(record["title"]), str(len(record["classes"]))),
            "x".join(map(str, (*_sides(record["size"]), record["channels"]))),
            *(sizes, str(record["official"]["count"]), state),
        )
    console = Console(soft_wrap=True)
    wide_console().print(table)
    console.print(f"data folder: {where}", highlight=False, markup=False)
    for record in records:
        for sentence in (record["sentence"], *(f"leakage: {told}" for told in record.get("leakage", ()))):
            console.print(f"{record['name']}: {sentence}", highlight=False, markup=False)


def _sides(size: int | list[int]) -> list[int]:
    return [size, size] if isinstance(size, int) else size


@datasets_app.command("prepare")
def prepare_command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the data set.")],
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Prepare a data set: draw the synthetic one, download one of MedMNIST, else say how to get it."""
    from benchmark.data.registry import find_card, prepare

    if data_dir is not None and data_dir.exists():
        checked_data_dir(data_dir)
    root = root_of(context)
    card = find_card(name, root)
    with Console(stderr=True).status(f"preparing {name}"):
        found = prepare(card, data_dir, root)
    if as_json:
        print_json({"name": found.dataset, "state": found.state, "sentence": found.sentence})
    else:
        Console(soft_wrap=True).print(f"{name}: {found.state}: {found.sentence}", highlight=False, markup=False)


def matrix_command(
    context: typer.Context,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table that docs/matrix.md embeds.")] = False,
    write: Annotated[
        bool,
        typer.Option("--write", help="Bring the table and the list of decisive cells in docs/matrix.md up to date."),
    ] = False,
    cost: Annotated[bool, typer.Option("--cost", help="Cost of each attack, from result rows.")] = False,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Which attacks change a worst case, from result rows.")
    ] = False,
    results: Annotated[
        Path | None, typer.Option(help="Folder of the rows for --cost or --evidence. Default: the official ones.")
    ] = None,
) -> None:
    """Print the threat-model matrix: every attack with its parameters and source, its cost, or what it decides."""
    from benchmark.matrix.markdown import DOCUMENT, render, write_into
    from benchmark.matrix.model import load_matrix

    if markdown + write + (as_json or cost or evidence) + (cost and evidence) > 1:
        raise BenchError(
            "--markdown, --write, --cost and --evidence exclude each other; give one, "
            "--json alone or with one of the last two."
        )
    if results is not None and not (cost or evidence):
        raise BenchError("--results is for --cost and --evidence; the matrix itself depends on no rows.")
    if cost:
        _print_costs(results or root_of(context).official_results, as_json)
        return
    if evidence:
        from benchmark.cli.evidence import print_evidence

        print_evidence(results or root_of(context).official_results, as_json)
        return
    matrix, digest = load_matrix()
    if as_json:
        print_json({**matrix.model_dump(mode="json"), "hash": digest})
    elif markdown:
        say(render(matrix, digest))
    elif write:
        path = root_of(context).path / DOCUMENT
        changed = write_into(path, evidence_text(root_of(context).official_results))
        say(f"{path} {'now shows' if changed else 'already showed'} matrix version {matrix.version}.")
    else:
        _print_matrix(matrix, digest)


def evidence_text(official_results: Path) -> str:
    """Return what ``docs/matrix.md`` says of the cells of the matrix in force that decide in the official rows."""
    from benchmark.matrix.markdown import render_evidence
    from benchmark.matrix.model import load_matrix
    from leaderboard.entries import entries_in
    from leaderboard.evidence import noted, official_evidence

    matrix, digest = load_matrix()
    found = official_evidence(entries_in([official_results] if official_results.is_dir() else []), matrix, digest)
    idle = [(cell, noted(one)) for cell, one in found.idle]
    return render_evidence(matrix.version, found.entries, found.counted, idle)


def _print_costs(results: Path, as_json: bool) -> None:
    """Print seconds and passes of every cell."""
    from dataclasses import asdict

    from leaderboard.costs import costs
    from leaderboard.entries import entries_in

    found = costs(entries_in([results]))
    if as_json:
        print_json([asdict(cost) for cost in found])
        return
    table = table_of(
        *("Data set", "Submission", "Track", "Cell", "Norm", "Run", "Skipped", "Seconds in all"),
        *("ms each", "Forward each", "Backward each"),
        whole=("Data set", "Submission", "Track", "Cell"),
    )
    for one in found:
        each = 1000 * one.seconds / one.attacked if one.attacked else 0.0
        table.add_row(
            *(one.dataset, one.submission, one.track, one.attack, one.norm, str(one.attacked), str(one.skipped)),
            *(f"{one.seconds:.1f}", f"{each:.1f}", f"{one.queries:.0f}", f"{one.gradients:.0f}"),
        )
    wide_console().print(table)


def _print_matrix(matrix: "Matrix", digest: str) -> None:
    from benchmark.matrix.markdown import bounds, budgets, cost, norm, parameters

    table = table_of(
        *("Track", "Cell", "Suite", "Norm", "Budgets", "Parameters", "Knowledge", "Source", "Cost"),
        whole=("Track", "Cell", "Norm", "Cost"),
    )
    for cell in matrix.cell:
        table.add_row(
            *(cell.track, cell.name, cell.suite, norm(cell), budgets(cell.eps_255), parameters(cell)),
            *(cell.knowledge, cell.source, cost(cell)),
        )
    console = wide_console()
    console.print(table)
    corruption = matrix.corruption
    console.print(
        f"corruption: mode {corruption.mode}, severities {', '.join(map(str, corruption.severities))}, "
        f"{corruption.images} images; {corruption.source}",
        highlight=False,
    )
    for name, profile in matrix.profile.items():
        console.print(f"profile {name}: {bounds(profile)}", highlight=False)
    Console(soft_wrap=True).print(f"version {matrix.version}, sha256 {digest}", highlight=False)
