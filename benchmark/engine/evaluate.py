"""Evaluating submissions: plan the units, run them, join their rows."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from benchmark.engine.driver import drive
from benchmark.engine.estimate import LEAST, estimate, node_seconds, wall_seconds
from benchmark.engine.examples import write_examples
from benchmark.engine.executors import Engine, News, open_executor
from benchmark.engine.graph import Node, examples_node, graph_of, rows_node
from benchmark.engine.run_unit import gap_table
from benchmark.engine.settings import RunSettings, Unit
from benchmark.engine.store import Store
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError, did_you_mean
from benchmark.interrupts import listening
from benchmark.matrix import Matrix
from benchmark.results.schema import DIAGNOSTIC
from benchmark.results.store import refuse_to_replace_official, write_table


@dataclass(frozen=True)
class Event:
    """News of a unit: a share done, the end (share 1), or a failure with its reason; ``text`` says what was at work."""

    unit: Unit
    share: float
    failure: str = ""
    finished: bool = False
    text: str = ""


@dataclass
class RunReport:
    """What a run made: the files written and the units that failed, with the reason."""

    files: list[Path] = field(default_factory=list)
    failures: dict[Unit, str] = field(default_factory=dict)


def check_tracks(matrix: Matrix, tracks: Iterable[str]) -> tuple[str, ...]:
    """Return all tracks that a run may have.

    Raises:
        BenchError: one of ``tracks`` is none of them.
    """
    known = (*matrix.tracks, DIAGNOSTIC)
    for track in tracks:
        if track not in known:
            raise BenchError(f"track '{track}' is unknown.{did_you_mean(track, known)}")
    return known


def plan(
    workplace: Workplace, submissions: Sequence[str], datasets: Sequence[str], tracks: Sequence[str]
) -> list[Unit]:
    """All units of a run; those that others may draw on come first.

    Raises:
        BenchError: an unknown track or data set, data or surrogates that are not here, two submissions of one name,
            or a submission that no data set suits.
    """
    submissions = _distinct(workplace, submissions)
    known = check_tracks(workplace.matrix, tracks)
    if set(workplace.matrix.with_view("everything")) & set(tracks):
        # Whether the adaptive attacker's gradient can be believed is asked whenever it is followed.
        tracks = [*tracks, DIAGNOSTIC]
    for dataset in datasets:
        workplace.card(dataset)
    pairs = [
        (submission, dataset)
        for dataset in dict.fromkeys(datasets)
        for submission in submissions
        if dataset in workplace.entry(submission).manifest.datasets
    ]
    for submission in submissions:
        if not any(submission == name for name, _ in pairs):
            own = ", ".join(workplace.entry(submission).manifest.datasets)
            raise BenchError(
                f"submission '{submission}' names none of the data sets {', '.join(datasets)}; "
                f"choose one of its own with --dataset: {own}."
            )
    if not pairs:
        raise BenchError(f"no shipped baseline names the data sets {', '.join(datasets)}; name a submission.")
    for submission, dataset in pairs:
        # Unfit weights or code are refused here, before gaps could replace rows of an earlier run.
        workplace.kind(submission, dataset)
    if any("surrogates" in workplace.needs(track) for track in tracks):
        for dataset in dict.fromkeys(dataset for _, dataset in pairs):
            if workplace.serves(dataset, "no-box"):
                workplace.check_surrogates(dataset)
    units = [
        Unit(submission, dataset, track, chunk)
        for track in known
        if track in tracks
        for submission, dataset in pairs
        if workplace.serves(dataset, track)
        for chunk in range(workplace.chunks(dataset, track))
    ]
    if not units:
        raise BenchError(f"{left_out(workplace, datasets, tracks)[0].rstrip('.')}; choose other tracks.")
    return units


def left_out(workplace: Workplace, datasets: Iterable[str], tracks: Iterable[str]) -> list[str]:
    """Say in a sentence for each data set which of these tracks need training images that it does not have."""
    told = []
    for dataset in dict.fromkeys(datasets):
        without = [track for track in dict.fromkeys(tracks) if not workplace.serves(dataset, track)]
        if without:
            those = ", ".join(without)
            told.append(f"data set '{dataset}' has no training images, which attackers of {those} need: left out.")
    return told


def _distinct(workplace: Workplace, submissions: Sequence[str]) -> list[str]:
    """Each submission once, however it is named: two units with the same rows would count every image twice."""
    chosen: dict[str, str] = {}
    for submission in submissions:
        entry = workplace.entry(submission)
        known = chosen.setdefault(entry.name, submission)
        if workplace.entry(known).folder.resolve() != entry.folder.resolve():
            raise BenchError(
                f"two submissions are called '{entry.name}' ({known} and {submission}) and would share their rows; "
                "evaluate them apart, with --results, or rename one."
            )
    return list(chosen.values())


def evaluate(
    settings: RunSettings,
    submissions: Sequence[str],
    datasets: Sequence[str],
    tracks: Sequence[str],
    workers: int = 1,
    on_event: Callable[[Event, float], None] = lambda _event, _share: None,
    admit: Callable[[str, str], None] = lambda _submission, _dataset: None,
    on_estimate: Callable[[float], None] = lambda _seconds: None,
    engine: Engine | None = None,
) -> RunReport:
    """Run what is missing and write one file of rows per submission, data set and track.

    Interrupted runs lose the nodes in hand and nothing else: the same call goes on from there.

    Args:
        settings: how to run.
        submissions: names or folders.
        datasets: names of cards.
        tracks: names of tracks.
        workers: processes; one runs in this process.
        on_event: told each event and the share of the whole run that is done.
        admit: asked, before anything runs, about each submission on each data set with units to run; raises to refuse.
        on_estimate: told, before anything runs, how many seconds the run will take.
        engine: another way to run than ``workers`` processes.

    Raises:
        BenchError: bad names, missing data, a results folder that holds official rows this run must not replace, an
            engine that is not there, or what ``admit`` raises.
    """
    workplace = Workplace(settings)
    store = Store(workplace)
    units = plan(workplace, submissions, datasets, tracks)
    for unit in units:
        refuse_to_replace_official(_file_of(workplace, unit), workplace.official)
    report = RunReport()
    rows = [rows_node(workplace, unit) for unit in units]
    pictures = [examples_node(workplace, unit) for unit in units if (unit.track, unit.chunk) == (DIAGNOSTIC, 0)]
    graph = graph_of(workplace, [*rows, *pictures], store.holds)
    missing = {node.key: node.unit for node in rows if node.key in graph.nodes}
    for submission, dataset in dict.fromkeys((unit.submission, unit.dataset) for unit in missing.values()):
        admit(submission, dataset)
    with closing(open_executor(workplace, engine or Engine(workers=workers))) as executor:
        with listening():
            weights = node_seconds(graph, estimate(workplace, graph.units, executor.width))
        if executor.width > 1:
            # Workers have hosts of their own.
            workplace.close()
        on_estimate(wall_seconds(list(weights.values()), executor.width))
        _make_folder(settings.results)
        shares = dict.fromkeys(graph.nodes, 0.0)
        total = sum(weights.values())

        def hear(news: News) -> None:
            key = news.node.key
            shares[key] = 1.0 if news.ended else news.share
            share = sum(weights[key] * share for key, share in shares.items()) / max(LEAST, total)
            # Who takes up what could not be computed says why in its own rows.
            own = key in missing
            failure = news.failure if own else ""
            if failure:
                report.failures[news.node.unit] = failure
            finished = own and news.table is not None
            on_event(Event(news.node.unit, news.share, failure, finished, str(news.node)), share)

        try:
            with listening():
                drive(graph, store, executor, hear, weights if executor.width > 1 else None)
        finally:
            executor.close()
            workplace.close()
            # Nodes end in no fixed order; the report tells of failures in the order of the plan.
            report.failures = {unit: report.failures[unit] for unit in units if unit in report.failures}
            report.files += _join(workplace, store, rows, report.failures)
            for node in pictures:
                if (table := store.read(node)) is not None:
                    write_examples(_file_of(workplace, node.unit).parent, table)
    return report


def _make_folder(results: Path) -> None:
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"results folder {results} cannot be made ({error.strerror}); give another.") from None


def _file_of(workplace: Workplace, unit: Unit) -> Path:
    name = workplace.entry(unit.submission).name
    return workplace.settings.results / unit.dataset / name / f"{unit.track}.parquet"


def _join(workplace: Workplace, store: Store, rows: Sequence[Node], failures: dict[Unit, str]) -> list[Path]:
    """Write each track's rows in order of chunks; a unit without rows leaves a gap that says why.

    Where the run was broken off before a track was whole, an earlier file of that track is left as it is.
    """
    files: dict[Path, list[pa.Table]] = {}
    unfinished: set[Path] = set()
    for node in sorted(rows, key=lambda node: node.unit.chunk):
        unit = node.unit
        path = _file_of(workplace, unit)
        table = store.read(node)
        if table is None:
            if unit not in failures:
                unfinished.add(path)
            table = gap_table(workplace, unit, failures.get(unit, "not run: the evaluation was interrupted"))
        files.setdefault(path, []).append(table)
    written = sorted(path for path in files if not (path in unfinished and path.is_file()))
    for path in written:
        write_table(pa.concat_tables(files[path]).unify_dictionaries(), path)
    return written
