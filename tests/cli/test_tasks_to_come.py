"""Tasks that are not built are refused in one sentence, wherever a card or a manifest names one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from benchmark.task.kinds import TO_COME as TASKS_TO_COME


class Answer(Protocol):
    """What a command answered; see conftest."""

    code: int
    out: str
    err: str
    sentence: str


Bench = Callable[..., Answer]


def give(path: Path, old: str, task: str) -> None:
    text = path.read_text()
    assert f'task = "{old}"' in text
    path.write_text(text.replace(f'task = "{old}"', f'task = "{task}"'))


def run(bench: Bench, project: Path, command: str) -> Answer:
    options = ("-t", "clean", "--limit", 1, "--no-site") if command == "evaluate" else ()
    return bench("--root", project, command, "mine", "-d", "pneumoniamnist", *options)


@pytest.mark.parametrize("task", TASKS_TO_COME)
@pytest.mark.parametrize("command", ["validate", "evaluate"])
def test_a_data_set_of_such_a_task_is_refused(command: str, task: str, bench: Bench, project: Path) -> None:
    give(project / "datasets" / "pneumoniamnist" / "dataset.toml", "binary", task)
    answer = run(bench, project, command)
    assert answer.code == 2
    assert f"task '{task}' is not built yet; this version judges binary and multiclass" in answer.out + answer.err
    assert "Traceback" not in answer.out + answer.err


@pytest.mark.parametrize("task", TASKS_TO_COME)
@pytest.mark.parametrize("command", ["validate", "evaluate"])
def test_an_entry_of_such_a_task_is_refused(command: str, task: str, bench: Bench, project: Path) -> None:
    give(project / "submissions" / "mine" / "submission.toml", "classification", task)
    answer = run(bench, project, command)
    assert answer.code == 2
    assert f"task '{task}' is not built yet; this version judges binary and multiclass" in answer.out + answer.err
    assert "Traceback" not in answer.out + answer.err


def test_such_a_data_set_is_listed_as_broken_beside_the_others(bench: Bench, project: Path) -> None:
    give(project / "datasets" / "pneumoniamnist" / "dataset.toml", "binary", "multilabel")
    answer = bench("--root", project, "datasets", "--json")
    assert "task 'multilabel' is not built yet" in answer.sentence
    states = {record["name"]: record["state"] for record in json.loads(answer.out)}
    assert (states["pneumoniamnist"], states["synthetic_cxr"]) == ("broken", "available")


def test_such_an_entry_is_listed_as_broken_beside_the_others(bench: Bench, project: Path) -> None:
    assert bench("--root", project, "new", "other", "-d", "pneumoniamnist").code == 0
    give(project / "submissions" / "mine" / "submission.toml", "classification", "multilabel")
    answer = bench("--root", project, "submissions", "--json")
    assert "task 'multilabel' is not built yet" in answer.sentence
    assert {record["name"]: bool(record["error"]) for record in json.loads(answer.out)} == {
        "mine": True,
        "other": False,
    }
