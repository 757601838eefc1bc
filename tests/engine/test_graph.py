"""Every piece of work is a node of its own, computed once, stored by the driver alone."""

from pathlib import Path

import pyarrow as pa
import pytest

from benchmark.engine import RunSettings, Unit, candidates, run_unit
from benchmark.engine.driver import drive
from benchmark.engine.executors import News
from benchmark.engine.graph import (
    Graph,
    Node,
    candidates_node,
    clean_node,
    fit_node,
    graph_of,
    inputs_of,
    nothing_found,
    renewed,
    rows_node,
)
from benchmark.engine.run_unit import run_node
from benchmark.engine.settings import PARTS
from benchmark.engine.store import Store
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError

from .conftest import SHIPPED, STEADY

ATTACKS = ("no-box", "black-box", "gray-box", "white-box", "adaptive")


@pytest.fixture
def place(root, tmp_path):
    """Make a run: ``place(**settings)``."""
    return lambda **settings: Workplace(
        RunSettings(root=root, results=tmp_path / "results", data_dir=root / "data", limits=STEADY, **settings)
    )


def cell_named(workplace, track, name, submission="plain"):
    cells = workplace.cells_of(Unit(submission, "toy", track, 0))
    return next(cell for cell in cells if cell.name == name)


def stored(results: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in (results / PARTS).rglob(pattern))


class Recorder:
    """An executor that computes nothing: it notes what it is given, one node after another."""

    width = 1

    def __init__(self, fails=()):
        self.order, self.inputs, self._fails, self._task = [], {}, fails, None

    def room(self):
        return self._task is None

    def submit(self, task):
        self._task = task

    def wait(self, hear):
        task, self._task = self._task, None
        self.order.append(str(task.node))
        self.inputs[str(task.node)] = set(task.inputs)
        failed = str(task.node) in self._fails
        hear(News(task.node, failure="planted") if failed else News(task.node, 1.0, pa.table({"x": [1]})))

    def forget(self, key):
        pass


class Keeper:
    """A store that keeps nothing."""

    def path(self, node):
        return Path("/nowhere") / node.key

    def write(self, node, table):
        pass


@pytest.mark.parametrize("submission", SHIPPED)
def test_the_attack_tracks_of_a_chunk_share_their_verdicts_on_clean_images(place, submission):
    workplace = place()
    keys = {clean_node(workplace, Unit(submission, "toy", track, 1)).key for track in ATTACKS}
    assert len(keys) == 1
    assert clean_node(workplace, Unit(submission, "toy", "white-box", 0)).key not in keys
    # The clean track of an official run has all test images, not the official subset.
    assert clean_node(workplace, Unit(submission, "toy", "clean", 1)).key not in keys


def test_a_limited_runs_clean_track_shares_them_too(place):
    workplace = place(limit=6)
    assert clean_node(workplace, Unit("plain", "toy", "clean", 0)) == clean_node(
        workplace, Unit("plain", "toy", "adaptive", 0)
    )


def test_candidates_are_the_same_node_for_every_entry_and_fits_are_not(place):
    workplace = place()
    pgd, uap = cell_named(workplace, "no-box", "pgd"), cell_named(workplace, "gray-box", "uap")
    crafted = {candidates_node(workplace, Unit(name, "toy", "no-box", 0), pgd, 8).key for name in SHIPPED}
    fits = {fit_node(workplace, Unit(name, "toy", "gray-box", 0), uap, 8).key for name in SHIPPED}
    assert (len(crafted), len(fits)) == (1, 3)


def test_a_fit_is_the_same_node_for_every_chunk(place):
    workplace = place()
    uap = cell_named(workplace, "gray-box", "uap")
    assert len({fit_node(workplace, Unit("plain", "toy", "gray-box", chunk), uap, 8).key for chunk in range(3)}) == 1


@pytest.mark.slow
def test_candidates_differ_by_all_that_decides_them(place, monkeypatch):
    def key(cell="pgd", eps=8, chunk=0, workplace=None, **params):
        workplace = workplace or place()
        chosen = cell_named(workplace, "no-box", cell)
        chosen = chosen.model_copy(update={"params": {**chosen.params, **params}})
        return candidates_node(workplace, Unit("plain", "toy", "no-box", chunk), chosen, eps).key

    keys = [key(), key("pgd-ensemble"), key(eps=2), key(chunk=1), key(steps=5), key(workplace=place(limit=9))]
    monkeypatch.setattr("benchmark.engine.graph.surrogate_hash", lambda *_: "another")
    keys.append(key())
    monkeypatch.setattr("benchmark.engine.graph.code_hash", lambda *_: "another")
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_candidates_are_crafted_once_for_all_entries_of_a_run_and_of_later_ones(run, tmp_path, monkeypatch):
    crafted = []
    honest = candidates.transferred

    def counting(workplace, unit, cell, eps, batch, *rest):
        crafted.append((cell.name, eps, unit.chunk))
        return honest(workplace, unit, cell, eps, batch, *rest)

    monkeypatch.setattr(candidates, "transferred", counting)
    run(["plain", "jpeg"], ["no-box"], tmp_path)
    budgets = [("pgd", 2), ("pgd", 8), ("pgd-ensemble", 8)]
    assert sorted(crafted) == sorted((*budget, chunk) for budget in budgets for chunk in range(3))
    crafted.clear()
    run(["voting"], ["no-box"], tmp_path)
    assert crafted == []


def test_clean_verdicts_are_computed_once_for_all_attack_tracks(run, tmp_path, monkeypatch):
    computed = []
    honest = run_unit.clean_table

    def counting(workplace, unit):
        computed.append(unit.chunk)
        return honest(workplace, unit)

    monkeypatch.setattr(run_unit, "clean_table", counting)
    run(["jpeg"], ATTACKS, tmp_path)
    # The diagnostics look at the same images.
    assert sorted(computed) == [0, 1, 2]
    assert len(stored(tmp_path, "clean-*.arrow")) == 3


@pytest.mark.slow
def test_computing_a_node_writes_no_file(place, tmp_path):
    workplace = place()
    wanted = [rows_node(workplace, Unit("plain", "toy", track, 0)) for track in ("no-box", "gray-box", "diagnostic")]
    graph = graph_of(workplace, wanted, lambda _: False)
    for node in graph.nodes.values():
        assert run_node(workplace, node, nothing_found).num_rows
    assert not (tmp_path / "results").exists()


def test_a_unit_without_its_inputs_computes_them_itself_to_the_same_rows(place, whole):
    workplace = place()
    for track in ("no-box", "gray-box", "white-box", "adaptive"):
        table = run_node(workplace, rows_node(workplace, Unit("plain", "toy", track, 0)), nothing_found)
        there = whole.rows("plain", track).head(table.num_rows)
        assert table.column("pred").to_pylist() == there.pred.astype(object).where(there.pred.notna(), None).tolist()
        assert table.column("correct").to_pylist() == there.correct.tolist()


def test_every_node_comes_after_its_inputs_whatever_is_urgent(place):
    workplace = place()
    units = [rows_node(workplace, Unit(name, "toy", track, 0)) for name in SHIPPED for track in reversed(ATTACKS)]
    graph = graph_of(workplace, units, lambda _: False)
    order = Recorder()
    weights = {key: float(place) for place, key in enumerate(graph.nodes)}
    drive(graph, Keeper(), order, lambda _: None, weights)
    assert len(order.order) == len(graph.nodes)
    for key, node in graph.nodes.items():
        for below in graph.inputs[key]:
            assert order.order.index(str(below)) < order.order.index(str(node))


def chain(*lengths):
    """A graph of chains of so many nodes each, with a second for each node."""
    nodes, inputs = {}, {}
    for chain, length in enumerate(lengths):
        for place in range(length):
            key = f"{chain}{place}"
            nodes[key] = Node("clean", key, Unit("", "toy", key, 0))
            inputs[key] = (nodes[f"{chain}{place - 1}"],) if place else ()
    return Graph(nodes, inputs)


def test_the_longest_chain_goes_first_where_times_are_known():
    graph, starts = chain(1, 3), []
    drive(graph, Keeper(), Recorder(), lambda news: starts.append(news.node.key), dict.fromkeys(graph.nodes, 1.0))
    assert starts == ["10", "11", "00", "12"]
    plain = []
    drive(graph, Keeper(), Recorder(), lambda news: plain.append(news.node.key))
    assert plain == list(graph.nodes)


def test_what_failed_holds_nothing_back_and_is_no_input(place, tmp_path):
    workplace = place()
    unit = rows_node(workplace, Unit("plain", "toy", "black-box", 0))
    clean = next(inputs_of(workplace, unit))
    graph = graph_of(workplace, [unit], lambda _: False)
    executor = Recorder(fails={str(clean)})
    failures = []
    drive(graph, Keeper(), executor, lambda news: failures.append(news.failure))
    assert failures == ["planted", ""]
    assert executor.inputs[str(unit)] == set()


def test_a_table_that_cannot_be_stored_is_the_failure_of_its_node():
    class Full(Keeper):
        def write(self, node, table):
            raise OSError(28, "No space left on device")

    told = []
    drive(chain(1), Full(), Recorder(), told.append)
    assert [news.failure for news in told] == [
        "its table cannot be stored: OSError: [Errno 28] No space left on device"
    ]


def test_a_full_disk_leaves_gaps_that_say_so(run, monkeypatch):
    honest = Store.write

    def full(self, node, table):
        if node.kind == "rows" and node.unit.chunk == 1:
            raise OSError(28, "No space left on device")
        honest(self, node, table)

    monkeypatch.setattr(Store, "write", full)
    result = run(["plain"], ["no-box"])
    rows = result.rows("plain", "no-box")
    assert rows[rows.status == "gap"].reason.str.contains("No space left on device").all()
    assert len(result.report.failures) == 1


@pytest.mark.slow
def test_a_damaged_table_beside_the_rows_is_computed_anew(run, tmp_path, whole):
    run(["plain"], ["no-box"], tmp_path)
    for path in (tmp_path / PARTS).rglob("*"):
        if path.suffix == ".arrow":
            path.write_bytes(path.read_bytes()[:-40])
        elif path.is_file():
            path.unlink()
    before = stored(tmp_path, "*.arrow")
    again = run(["plain"], ["no-box"], tmp_path)
    assert again.report.failures == {}
    assert stored(tmp_path, "*.arrow") == before
    assert again.rows("plain", "no-box").correct.equals(whole.rows("plain", "no-box").correct)


def test_a_node_is_refused_where_its_files_are_not_those_of_the_run(place, monkeypatch):
    workplace = place()
    node = rows_node(workplace, Unit("plain", "toy", "clean", 0))
    assert renewed(workplace, node).key == node.key
    monkeypatch.setattr("benchmark.engine.workplace.code_hash", lambda *_: "another")
    with pytest.raises(BenchError, match="plain/toy/clean/0: entry, data or harness are not those"):
        run_node(place(), node, nothing_found)
