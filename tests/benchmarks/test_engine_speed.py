"""What skipping saves: the default run beside ``--individual``, same verdicts; ratios stand in ``extra_info``."""

import os
import time
from pathlib import Path

import pytest

from benchmark.engine import Engine, RunSettings, evaluate

from ..engine.conftest import root, run  # noqa: F401  (fixtures)

TRACKS = ("black-box", "white-box")


def passes(result):
    return int(sum(result.rows("plain", track)[["queries", "gradients"]].sum().sum() for track in TRACKS))


@pytest.mark.slow
@pytest.mark.parametrize("individual", [False, True], ids=["skipped", "individual"])
def test_time_of_a_run(benchmark, run, individual):  # noqa: F811
    result = benchmark.pedantic(run, (["plain"], TRACKS), {"individual": individual}, rounds=3)
    benchmark.extra_info["passes"] = passes(result)
    assert result.report.failures == {}


@pytest.mark.slow
def test_skipping_needs_less_than_half_of_the_passes(benchmark, run):  # noqa: F811
    started = time.perf_counter()
    full = run(["plain"], TRACKS, individual=True)
    seconds = time.perf_counter() - started
    skipped = benchmark.pedantic(run, (["plain"], TRACKS), rounds=1)
    benchmark.extra_info["passes of a skipped run per pass of an individual one"] = passes(skipped) / passes(full)
    benchmark.extra_info["seconds of a skipped run per second of an individual one"] = (
        benchmark.stats.stats.mean / seconds if benchmark.stats else None
    )
    assert passes(skipped) < passes(full) / 2


@pytest.mark.slow
def test_a_finished_run_costs_only_the_reading(benchmark, run, tmp_path):  # noqa: F811
    first = run(["plain"], TRACKS, tmp_path)
    again = benchmark.pedantic(run, (["plain"], TRACKS, tmp_path), rounds=3)
    for track in TRACKS:
        assert again.rows("plain", track).equals(first.rows("plain", track))


ENTRIES = ("natural", "pgd_at", "cushion_jpeg80", "medrdf_sp_mf")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.slow
@pytest.mark.skipif(CORES < 2, reason="two workers need two cores")
def test_two_workers_take_at_most_as_long_as_one_divided_by_1_8(benchmark, tmp_path):
    """As `make demo` runs it: the four entries, the quick profile, processes that start from nothing.

    Both numbers are of processes, so that the start of a worker and the way of tables to the driver count. Another load
    on this machine spoils the ratio.
    """
    settings = RunSettings(Path(__file__).parents[2], tmp_path, profile="quick")
    tracks = ("clean", "corruption", "no-box", "black-box", "gray-box", "white-box", "adaptive")

    def seconds(workers):
        started = []
        asked = RunSettings(**vars(settings) | {"results": tmp_path / str(workers)})
        report = evaluate(
            *(asked, ENTRIES, ["synthetic_cxr"], tracks),
            on_estimate=lambda _: started.append(time.perf_counter()),
            engine=Engine("processes", workers),
        )
        assert report.failures == {}
        # The estimate before the run is no part of it.
        return time.perf_counter() - started[0]

    one = seconds(1)
    two = benchmark.pedantic(seconds, (2,), rounds=1)
    benchmark.extra_info["seconds of one worker per second of two"] = one / two
    assert one / two >= 1.8
