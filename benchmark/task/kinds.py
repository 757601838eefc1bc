"""The tasks that cards may name, and the verdict that follows from a score. Imports no torch.

Everything else that depends on the task is a method of what :func:`benchmark.task.build.task_of` returns.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A task by the name that cards give it.

    Attributes:
        name: in a card and in rows.
        entry: what manifests of entries for it call their task.
        classes: number of classes that a card must list; None for any.
    """

    name: str
    entry: str
    classes: int | None = None


KINDS = {kind.name: kind for kind in (Kind("binary", "classification", 2), Kind("multiclass", "classification"))}
"""Tasks that attacks, judge and metrics serve, by their name in cards."""

TO_COME = ("multilabel", "segmentation")
"""Tasks that rows have room for, but that no attack, judge or metric serves yet."""

ENTRY_TASKS = tuple(dict.fromkeys(kind.entry for kind in KINDS.values()))
"""What a manifest may call its task."""


def kind_for(classes: int) -> Kind:
    """The task of single classes for so many of them: the one of exactly that number, else that of any."""
    return next(kind for wanted in (classes, None) for kind in KINDS.values() if kind.classes == wanted)


def known_task(name: str, among: Iterable[str]) -> str:
    """Return a task's name.

    Raises:
        ValueError: it is none of ``among``.
    """
    told = [f"'{one}'" for one in among]
    if f"'{name}'" not in told:
        raise ValueError(f"'{name}' is no task; give {' or '.join(told)}")
    return name


def refuse_task_to_come(data: object, mend: str) -> None:
    """Refuse a card or manifest whose task is known but not built; ``mend`` ends the sentence.

    Raises:
        ValueError: it names such a task.
    """
    task = data.get("task") if isinstance(data, dict) else None
    if task in TO_COME:
        entries = " and ".join(ENTRY_TASKS)
        raise ValueError(
            f"task '{task}' is not built yet; this version judges {' and '.join(KINDS)} {entries}, so {mend}"
        )


def robust(right: Any, draws: Any) -> Any:
    """Whether the deployed system is right: in at least half of the draws. An image is broken where it is not.

    Args:
        right: sum of the draws' scores; a number, or numbers in any array that knows ``*`` and ``>=``.
        draws: number of draws.
    """
    return right * 2 >= draws
