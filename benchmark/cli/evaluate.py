"""``bench evaluate``."""

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from benchmark.cli.console import Console
from benchmark.cli.defaults import default_dataset, everyone
from benchmark.cli.output import checked_data_dir, refuse_unwritable
from benchmark.cli.state import BoardDir, root_of
from benchmark.errors import BenchError
from benchmark.root import Root

if TYPE_CHECKING:
    from benchmark.engine import Engine, RunSettings
    from benchmark.matrix import Matrix


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate_command)


def evaluate_command(
    context: typer.Context,
    submissions: Annotated[
        list[str] | None, typer.Argument(help="Names or folders. Default: the shipped baselines.")
    ] = None,
    dataset: Annotated[list[str] | None, typer.Option("--dataset", "-d", help="Data set; repeat for several.")] = None,
    track: Annotated[list[str] | None, typer.Option("--track", "-t", help="Track; repeat for several.")] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Budgets: official, or quick for a first look. Default: official; quick if nothing is named."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use at most this many images; makes the run unofficial.")
    ] = None,
    individual: Annotated[
        bool, typer.Option("--individual", help="Run every attack on every image; makes the run unofficial.")
    ] = False,
    results: Annotated[Path | None, typer.Option(help="Folder of the result rows. Default: results.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes. Default: one for each core, or for each of --devices.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="inline, processes or ray. Default: processes if there are several workers.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster. Default: start one on this machine.")
    ] = None,
    num_cpus: Annotated[
        float | None, typer.Option(min=0.01, help="Cores that Ray sets aside for a piece of work. Default: 1.")
    ] = None,
    num_gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs likewise, also a fraction. Default: 1 with --device cuda.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    devices: Annotated[
        str | None, typer.Option(help="'all' CUDA devices or some, such as 0,2: one worker for each.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images attacked at once, at most.")] = 64,
    batch_pixels: Annotated[
        int, typer.Option(min=1, help="Their pixels, at most; halved by itself when memory runs out.")
    ] = 2**20,
    matrix_file: Annotated[
        Path | None, typer.Option("--matrix", help="Another matrix file; makes the run unofficial.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data files. Default: BENCH_DATA.")] = None,
    site: Annotated[bool, typer.Option("--site/--no-site", help="Build the site afterwards.")] = True,
    board: BoardDir = None,
) -> None:
    """Run attacks and corruptions on submissions, write rows, build the site. Run it again to resume."""
    from benchmark.cli.engines import check_device, devices_of, engine_of
    from benchmark.engine import RunSettings
    from benchmark.matrix import load_matrix

    shared_out = devices_of(devices)
    plan = engine_of(engine, workers, device, shared_out, address, num_cpus, num_gpus)
    if plan.chosen != "ray":
        # With Ray the machine that drives a run may have no GPU.
        check_device(device)
    root = root_of(context, board, make=True)
    results = results or root.results
    refuse_unwritable(results, "--results")
    if site:
        refuse_unwritable(root.site, "the site's folder")
    checked_data_dir(data_dir)
    matrix, _ = load_matrix(matrix_file) if matrix_file else load_matrix()
    if profile is None:
        profile = "official" if submissions or dataset or track else "quick"
    matrix.profile_named(profile)
    datasets = dataset or [default_dataset(root)]
    names = submissions or everyone(root, datasets)
    settings = RunSettings(
        root=root.path,
        results=results,
        data_dir=data_dir,
        profile=profile,
        individual=individual,
        limit=limit,
        device="cuda" if shared_out else device,
        batch_size=batch_size,
        batch_pixels=batch_pixels,
        matrix=matrix_file,
    )
    _refuse_official_place(root, settings, matrix)
    _check_names(root, matrix, names, datasets, track or ())
    console = Console()
    failures = _run(settings, names, datasets, track or list(matrix.tracks), plan, console)
    _show(root, results, site, console)
    if failures:
        raise typer.Exit(1)


def _show(root: Root, results: Path, site: bool, console: Console) -> None:
    """Bring the committed board up to date with official rows, and build the site where it is wanted."""
    if results.resolve() == root.official_results.resolve():
        from leaderboard.board import write_board

        write_board(root.official_results, root.official_records)
    if site:
        from benchmark.cli.board import build_and_tell

        build_and_tell(root, [results], root.site, console)


def _refuse_official_place(root: Root, settings: "RunSettings", matrix: "Matrix") -> None:
    """Keep rows of a casual run, or of entries that were not shut in, out of the folders that belong to the project."""
    from benchmark.host.sandbox import why_unavailable

    results = settings.results.resolve()
    whole = settings.limit is None and not settings.individual and settings.matrix is None
    if results == root.official_results.resolve() and whole and matrix.profile_named(settings.profile).official:
        missing = why_unavailable()
        if missing:
            raise BenchError(f"official rows need entries shut in by bubblewrap: {missing}; see 'bench doctor'.")
        return
    for name in ("leaderboard", "submissions", "datasets", "benchmark"):
        if results.is_relative_to((root.path / name).resolve()):
            raise BenchError(
                f"--results {settings.results} belongs to the project, where only official rows lie, in "
                "leaderboard/results; give a folder of your own."
            )


def _check_names(
    root: Root, matrix: "Matrix", names: Collection[str], datasets: Collection[str], tracks: Collection[str]
) -> None:
    """Refuse unknown names before anything is said of a run."""
    from benchmark.data.availability import find_card
    from benchmark.engine.evaluate import check_tracks
    from benchmark.submission import find_entry

    check_tracks(matrix, tracks)
    for dataset in datasets:
        find_card(dataset, root)
    for name in names:
        find_entry(root, name)


class Remaining(ProgressColumn):
    """What is left of the time: what was estimated, then what the pace so far says, and never more than before."""

    def __init__(self) -> None:
        super().__init__()
        self._whole: float | None = None
        self._shown: float | None = None

    def expect(self, seconds: float) -> None:
        """Set the estimate of the whole run."""
        self._whole = seconds

    def render(self, task: Task) -> Text:
        """Show hours, minutes and seconds."""
        if self._whole is None or task.elapsed is None or not task.total:
            return Text("-:--:--", style="progress.remaining")
        share = task.completed / task.total
        left = self._whole * (1 - share)
        if share > TRUSTED:
            left = min(left, task.elapsed * (1 - share) / share)
        self._shown = left if self._shown is None else min(self._shown, left)
        return Text(str(timedelta(seconds=round(self._shown))), style="progress.remaining")


TRUSTED = 0.1
"""Share of a run from which its own pace tells more than the estimate."""


def _run(
    settings: "RunSettings", names: list[str], datasets: list[str], tracks: list[str], plan: "Engine", console: Console
) -> int:
    """Evaluate under a progress bar and return the number of failed units."""
    from benchmark.cli.engines import engine_in_words
    from benchmark.engine import Event, evaluate
    from benchmark.engine.estimate import in_words
    from benchmark.engine.evaluate import left_out
    from benchmark.engine.workplace import Workplace

    whole = settings.limit is None and not settings.individual and settings.matrix is None
    reduced = not whole or settings.profile != "official"
    unranked = " (unofficial, never ranked)" if reduced else ""
    console.print(
        f"{settings.profile} profile{unranked}: {_count(len(names), 'submission')} on {', '.join(datasets)}, "
        f"{engine_in_words(plan)}",
        highlight=False,
        markup=False,
    )
    for sentence in left_out(Workplace(settings), datasets, tracks):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    remaining = Remaining()
    columns = (
        TextColumn("[bold]{task.description}", table_column=None),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        remaining,
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting", total=1.0)

        def show(event: Event, share: float) -> None:
            progress.update(task, completed=share, description=event.text)
            if event.failure:
                progress.console.print(f"[red]failed[/red] {escape(f'{event.unit}: {event.failure}')}", highlight=False)

        def admit(submission: str, dataset: str) -> None:
            if not reduced:
                progress.update(task, description=f"contract of {submission} on {dataset}")
                _hold_to_contract(settings, submission, dataset)

        def announce(seconds: float) -> None:
            remaining.expect(seconds)
            if seconds:
                told = (
                    f"this will take about {in_words(seconds)}, by what official runs took and a trial on this machine"
                )
                progress.console.print(told, highlight=False)

        report = evaluate(settings, names, datasets, tracks, 1, show, admit, announce, plan)
        progress.update(task, completed=1.0, description="evaluated")
    console.print(
        f"{_count(len(report.files), 'file')} of rows under {settings.results}/", highlight=False, markup=False
    )
    if report.failures:
        failed = _count(len(report.failures), "unit")
        console.print(f"[red]{failed} failed[/red], shown as gaps. The same command tries again.")
    return len(report.failures)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _hold_to_contract(settings: "RunSettings", submission: str, dataset: str) -> None:
    """Refuse official rows to an entry that attackers could not attack as the matrix means it.

    Raises:
        BenchError: the entry breaks the contract.
    """
    from benchmark.root import Root
    from benchmark.submission.contract import check_submission

    report = check_submission(Root(settings.root), submission, [dataset], settings.data_dir)
    if not report.passed:
        why = next(iter(report.failures), report.checks[-1])
        raise BenchError(
            f"submission '{report.submission}' breaks the contract on {dataset} ({why.name}: "
            f"{why.message.rstrip('.')}); official rows need it kept: mend it ('bench validate {submission}' tells "
            "all), or look at it with --profile quick."
        )
