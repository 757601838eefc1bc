"""What skipping saves: the default run beside ``--individual``, same verdicts; ratios stand in ``extra_info``."""

import time

import pytest

from ..engine.conftest import root, run  # noqa: F401  (fixtures)

TRACKS = ("black-box", "white-box")


def passes(result):
    return int(sum(result.rows("plain", track)[["queries", "gradients"]].sum().sum() for track in TRACKS))


@pytest.mark.parametrize("individual", [False, True], ids=["skipped", "individual"])
def test_time_of_a_run(benchmark, run, individual):  # noqa: F811
    result = benchmark.pedantic(run, (["plain"], TRACKS), {"individual": individual}, rounds=3)
    benchmark.extra_info["passes"] = passes(result)
    assert result.report.failures == {}


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


def test_a_finished_run_costs_only_the_reading(benchmark, run, tmp_path):  # noqa: F811
    first = run(["plain"], TRACKS, tmp_path)
    again = benchmark.pedantic(run, (["plain"], TRACKS, tmp_path), rounds=3)
    for track in TRACKS:
        assert again.rows("plain", track).equals(first.rows("plain", track))
