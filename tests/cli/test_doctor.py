"""``bench doctor`` tells what a machine lacks, and for what."""

import importlib.util
import json

import pytest

from benchmark.cli import doctor
from benchmark.host import sandbox

from .conftest import PROJECT


def lines(answer):  # type: ignore[no-untyped-def]
    return {line["what"]: line for line in json.loads(answer.out)}


def test_a_missing_sandbox_is_told_with_what_it_serves_and_how_to_get_it(bench, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sandbox, "why_unavailable", lambda: "bubblewrap is not installed")
    answer = bench("--root", PROJECT, "doctor", "--json")
    line = lines(answer)["bubblewrap"]
    assert answer.code == 0
    assert (line["state"], line["found"]) == ("optional", "bubblewrap is not installed")
    assert "official rows" in line["serves"]
    assert "install the package 'bubblewrap'" in line["mend"]


def test_data_that_are_not_here_are_told_with_where_to_get_them(bench, tmp_path):  # type: ignore[no-untyped-def]
    found = lines(bench("--root", PROJECT, "doctor", "--json", "--data-dir", tmp_path))
    assert found["synthetic_cxr"]["state"] == "ok"
    assert found["pneumoniamnist"]["state"] == "optional"
    assert "bench datasets prepare pneumoniamnist" in found["pneumoniamnist"]["mend"]


def test_a_library_for_some_work_is_told_with_that_work(bench, monkeypatch):  # type: ignore[no-untyped-def]
    there = importlib.util.find_spec
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name == "matplotlib" else there(name))
    line = lines(bench("--root", PROJECT, "doctor", "--json"))["matplotlib"]
    assert line["state"] == "optional"
    assert "figures" in line["serves"]


def test_without_torch_nothing_can_run_and_the_exit_code_says_so(bench, monkeypatch):  # type: ignore[no-untyped-def]
    there = importlib.util.find_spec
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name == "torch" else there(name))
    answer = bench("--root", PROJECT, "doctor", "--json")
    assert answer.code == 1
    assert lines(answer)["torch"]["state"] == "missing"


def test_the_table_names_everything(bench):  # type: ignore[no-untyped-def]
    answer = bench("--root", PROJECT, "doctor")
    for name in ("bubblewrap", "torch", "memory", "pneumoniamnist"):
        assert name in answer.out


@pytest.mark.skipif(bool(sandbox.why_unavailable()), reason=sandbox.why_unavailable() or "available")
def test_official_rows_are_refused_where_entries_cannot_be_shut_in(bench, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sandbox, "why_unavailable", lambda: "bubblewrap is not installed")
    refused = bench("--root", PROJECT, "evaluate", "natural", "--results", PROJECT / "leaderboard" / "results")
    assert refused.sentence.startswith("official rows need entries shut in by bubblewrap: bubblewrap is not installed")
