"""The only place that makes tasks."""

from benchmark.task.classification import Classification
from benchmark.task.goal import Posed, Task
from benchmark.task.kinds import KINDS


def task_of(posed: Posed) -> Task:
    """The task of a data set, from its card or a split of it.

    Raises:
        KeyError: no such task; cards are checked when they are read.
    """
    kinds = {"classification": Classification}
    return kinds[KINDS[posed.task].entry](len(posed.classes))
