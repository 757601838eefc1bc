"""Where a run works, and how wide, alters no row."""

import multiprocessing
import sys
from dataclasses import replace

import pytest
import torch

from benchmark.cli.engines import devices_of, engine_of
from benchmark.engine import Engine, RunSettings, Unit
from benchmark.engine.driver import drive
from benchmark.engine.executors import Task, open_executor, processes
from benchmark.engine.executors.inline import Inline
from benchmark.engine.executors.processes import Processes
from benchmark.engine.graph import graph_of, rows_node
from benchmark.engine.store import Store
from benchmark.engine.workplace import Workplace
from benchmark.errors import BenchError
from benchmark.results.schema import NOT_IDENTITY

from .conftest import STEADY

ATTACKS = ("no-box", "black-box", "gray-box", "white-box", "adaptive")


@pytest.fixture
def settings(root, tmp_path):
    return RunSettings(root=root, results=tmp_path / "results", data_dir=root / "data", limits=STEADY)


def tables(settings, engine):
    """All tables of a run of two entries, without what may differ, by the node that made them."""
    workplace = Workplace(replace(settings, results=settings.results / engine.chosen))
    units = [rows_node(workplace, Unit(name, "toy", track, 0)) for name in ("plain", "voting") for track in ATTACKS]
    graph = graph_of(workplace, units, lambda _: False)
    found = {}

    def hear(news):
        assert not news.failure, f"{news.node}: {news.failure}"
        if news.table is not None:
            kept = [name for name in news.table.column_names if name not in NOT_IDENTITY]
            found[str(news.node)] = news.table.select(kept).to_pylist()

    executor = open_executor(workplace, engine)
    try:
        drive(graph, Store(workplace), executor, hear)
    finally:
        executor.close()
    assert len(found) == len(graph.nodes)
    return found


def test_processes_make_the_tables_of_inline_to_the_last_bit(settings):
    """Rows, verdicts on clean images, fits and candidates alike."""
    assert tables(settings, Engine("processes", 3)) == tables(settings, Engine("inline"))


def test_one_worker_runs_inline_and_several_in_processes(settings):
    assert Engine().chosen == "inline"
    assert Engine(workers=2).chosen == "processes"
    assert Engine("processes", 1).chosen == "processes"
    workplace = Workplace(settings)
    assert isinstance(open_executor(workplace, Engine()), Inline)
    assert isinstance(open_executor(workplace, Engine(workers=2)), Processes)


@pytest.fixture
def hired(monkeypatch):
    """Settings of the workers that are started; they do nothing."""
    seen = []
    monkeypatch.setattr(processes, "serve", lambda pipe, settings: pipe.recv())
    context = multiprocessing.get_context("fork")

    class Noting:
        Pipe = staticmethod(context.Pipe)

        def Process(self, target, args, daemon):
            seen.append(args[1])
            return context.Process(target=target, args=args, daemon=daemon)

    monkeypatch.setattr(multiprocessing, "get_context", lambda *_: Noting())
    return seen


def test_devices_are_dealt_out_to_workers_in_turn(settings, hired):
    node = rows_node(Workplace(settings), Unit("plain", "toy", "clean", 0))
    executor = Processes(settings, 3, ("cuda:0", "cuda:1"))
    try:
        while executor.room():
            executor.submit(Task(node))
    finally:
        executor.close()
    assert [one.device for one in hired] == ["cuda:0", "cuda:1", "cuda:0"]


def test_workers_start_when_there_is_work_for_them(settings, hired):
    executor = Processes(settings, 8)
    executor.submit(Task(rows_node(Workplace(settings), Unit("plain", "toy", "clean", 0))))
    executor.close()
    assert len(hired) == 1


def test_rows_of_another_gpu_of_this_machine_are_the_same_part(settings):
    unit = Unit("plain", "toy", "clean", 0)
    names = {rows_node(Workplace(replace(settings, device=device)), unit).key for device in ("cuda", "cuda:1")}
    assert len(names) == 1
    assert rows_node(Workplace(settings), unit).key not in names


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("text", "devices"), [("all", ("cuda:0", "cuda:1")), ("1", ("cuda:1",)), ("1, 0,1", ("cuda:1", "cuda:0"))]
)
def test_devices_are_all_of_the_machine_or_those_named(text, devices):
    assert devices_of(text) == devices
    assert engine_of(None, None, "cpu", devices, None, None, None) == Engine(None, len(devices), devices)


@pytest.mark.usefixtures("two_gpus")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(BenchError, match="'cuda:2' was asked for but torch sees 2, of numbers 0 to 1"):
        devices_of("0,2")


def test_a_single_device_has_a_worker_of_its_own_too():
    assert Engine(workers=1, devices=("cuda:1",)).chosen == "processes"


def test_ray_sets_a_gpu_aside_for_each_node_on_cuda_unless_told_otherwise():
    assert engine_of("ray", None, "cuda", (), None, None, None).num_gpus == 1
    assert engine_of("ray", None, "cuda", (), None, None, 0.25).num_gpus == 0.25
    assert engine_of("ray", None, "cpu", (), None, None, None).num_gpus == 0


def test_without_ray_the_mend_is_told(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BenchError, match=r"needs Ray, .*; run: pip install 'medrobustbench\[ray\]'"):
        open_executor(Workplace(settings), Engine("ray", None))
