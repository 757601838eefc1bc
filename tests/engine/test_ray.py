"""A Ray cluster makes the rows of one process, also when it loses machines on the way."""

import os
import signal
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from benchmark.engine import Engine, RunSettings, evaluate
from benchmark.engine.executors.ray_cluster import QUEUED, RayCluster
from benchmark.errors import BenchError

from .conftest import MATRIX, Run, small_matrix

ray = pytest.importorskip("ray", reason="Ray is not installed; it is the extra 'ray'")

pytestmark = [pytest.mark.slow, pytest.mark.ray]

TRACKS = ("clean", "no-box", "black-box", "gray-box", "white-box", "adaptive")
SUBMISSIONS = ("plain", "voting")


@pytest.fixture
def run_with(root, tmp_path):
    """Evaluate with an engine: ``run_with(engine, name, on_event)``; workers have the small matrix as a file."""

    def run(engine, name, on_event=lambda *_: None, submissions=SUBMISSIONS, tracks=TRACKS, limit=None):
        settings = RunSettings(root, tmp_path / name, root / "data", matrix=MATRIX, limit=limit)
        names = [str(submission) for submission in submissions]
        with small_matrix():
            report = evaluate(settings, names, ["toy"], list(tracks), on_event=on_event, engine=engine)
        return Run(report, tmp_path / name)

    return run


def assert_same_rows(one, other):
    for submission in SUBMISSIONS:
        for track in TRACKS:
            assert_frame_equal(one.identity(submission, track), other.identity(submission, track), check_exact=True)


@pytest.fixture
def cluster():
    """Two machines of one core each, on this one; the first has what outlives the other."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield made
    ray.shutdown()
    made.shutdown()


def test_three_engines_make_the_same_rows(run_with):
    inline, two = run_with(Engine("inline"), "inline"), run_with(Engine("processes", 2), "processes")
    clustered = run_with(Engine("ray", 2), "ray")
    assert clustered.report.failures == {}
    assert_same_rows(inline, two)
    assert_same_rows(inline, clustered)
    # A cluster that was started for the run ends with it.
    assert not ray.is_initialized()


def test_a_machine_that_is_lost_on_the_way_costs_no_row(run_with, cluster):
    lost = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    removed = []

    def lose(event, share):
        if not removed and share > 0.3:
            removed.append(share)
            cluster.remove_node(lost, allow_graceful=False)

    clustered = run_with(Engine("ray", None, address=cluster.address), "ray", lose)
    assert removed
    assert clustered.report.failures == {}
    assert_same_rows(run_with(Engine("inline"), "inline"), clustered)


def test_workers_that_are_killed_on_the_way_cost_no_row(run_with, cluster):
    killed = []

    def kill(event, share):
        if not killed and share > 0.3:
            for process in Path("/proc").glob("[0-9]*"):
                told = process / "cmdline"
                if told.is_file() and told.read_bytes().startswith(b"ray::_compute") and _is_of(cluster, process):
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(process.name)

    clustered = run_with(Engine("ray", None, address=cluster.address), "ray", kill)
    assert killed
    assert clustered.report.failures == {}
    assert_same_rows(run_with(Engine("inline"), "inline"), clustered)


def _is_of(cluster, process):
    """Whether a worker process was started by this test's cluster."""
    session = cluster.head_node.get_session_dir_path().encode()
    return session in (process / "environ").read_bytes() or session in _parents_command(process)


def _parents_command(process):
    parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
    return (Path("/proc") / parent / "cmdline").read_bytes()


def test_an_entry_that_ends_its_process_each_time_leaves_gaps_of_its_own(run_with, plant):
    code = """
    import os


    class Dying(Defense):
        def predict(self, images, draw):
            os._exit(41)


    def build(context):
        return Dying(classifier(context), context.num_classes)
    """
    folder = plant("dying", code=code)
    result = run_with(Engine("ray", 2), "ray", submissions=["plain", folder], tracks=["clean"], limit=4)
    assert {unit.submission for unit in result.report.failures} == {str(folder)}
    assert all(why.startswith("the worker process died 4 times") for why in result.report.failures.values())
    assert set(result.rows("plain", "clean").status) == {"ok"}


def test_a_second_run_takes_up_what_the_first_has_stored(run_with):
    def break_off(_event, share):
        if share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_with(Engine("ray", 2), "ray", break_off)
    seen = []
    again = run_with(Engine("ray", 2), "ray", lambda event, _: seen.append(event.text))
    assert again.report.failures == {}
    assert 0 < len(seen) < len([*(again.results / ".parts").rglob("*.*")])
    assert_same_rows(run_with(Engine("inline"), "inline"), again)


def test_only_so_many_nodes_are_handed_over_as_keep_the_cluster_busy(root, tmp_path, cluster):
    settings = RunSettings(root, tmp_path, root / "data", matrix=MATRIX)
    executor = RayCluster(settings, Engine("ray", None, address=cluster.address))
    assert executor.width == 1
    executor._in_hand = dict.fromkeys(range(QUEUED - 1))
    assert executor.room()
    executor._in_hand = dict.fromkeys(range(QUEUED))
    assert not executor.room()
    executor._in_hand = {}
    executor.close()


@pytest.mark.parametrize(("cpus", "width"), [(0.25, 4), (1.0, 1)])
def test_a_node_may_take_a_share_of_a_core(root, tmp_path, cluster, cpus, width):
    settings = RunSettings(root, tmp_path, root / "data", matrix=MATRIX)
    executor = RayCluster(settings, Engine("ray", None, address=cluster.address, num_cpus=cpus))
    assert executor.width == width
    executor.close()


def test_a_cluster_without_the_gpus_of_a_node_is_refused(root, tmp_path, cluster):
    settings = RunSettings(root, tmp_path, root / "data", matrix=MATRIX)
    with pytest.raises(BenchError, match=r"no room for a node of 1 cores and 0\.5 GPUs"):
        RayCluster(settings, Engine("ray", None, address=cluster.address, num_gpus=0.5))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "auto"])
def test_an_address_where_no_cluster_is_is_refused(root, tmp_path, address):
    settings = RunSettings(root, tmp_path, root / "data", matrix=MATRIX)
    with pytest.raises(BenchError, match=f"no Ray cluster answers at '{address}'"):
        RayCluster(settings, Engine("ray", None, address=address))
