"""The clean track, the judge that every track makes, and verdicts on clean images, which tracks share."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

import pyarrow as pa
from torch import Tensor

from benchmark.data.split import Split
from benchmark.engine.batches import Batches
from benchmark.engine.graph import Find, clean_node
from benchmark.engine.rows import Outcome, RowBook, outcomes
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.judge import Judge

CLEAN = pa.schema(
    [
        ("pred", pa.int64()),
        ("right_draws", pa.int64()),
        ("draws", pa.int64()),
        ("abstained", pa.bool_()),
        ("score", pa.float64()),
        ("probs", pa.list_(pa.float64())),
        ("copies", pa.int64()),
    ]
)
"""Columns of verdicts, one row per image; floats keep every bit."""


Progress = Callable[[float], None]
"""Told the share of a unit that is done, in [0, 1]."""


def make_judge(workplace: Workplace, unit: Unit) -> Judge:
    """A fresh copy of the deployed defense, on the bench."""
    return Judge(
        workplace.judged(unit),
        workplace.task(unit.dataset),
        workplace.profile.judge_draws,
        workplace.device,
        workplace.matrix.streams,
    )


def judged(
    workplace: Workplace,
    judge: Judge,
    images: Tensor,
    labels: Tensor,
    purposes: Sequence[Sequence[object]],
    again: bool = True,
    fresh: bool = True,
) -> list[Outcome]:
    """What the deployed system says to images (N, C, H, W), as many at once as memory takes; see :class:`Judge`."""

    def work(batch: list[int]) -> list[Outcome]:
        return outcomes(judge.judge(images[batch], labels[batch], [purposes[image] for image in batch], again, fresh))

    return Batches(images[0, 0].numel(), workplace.settings.batch_pixels).over(range(len(images)), work)


def judge_clean(judge: Judge, split: Split, workplace: Workplace) -> list[Outcome]:
    """What the deployed system says to the clean images; the same in every track."""
    purposes = [(split.dataset, name, "clean") for name in split.ids]
    images, labels = split.images.to(workplace.device), split.labels.to(workplace.device)
    return judged(workplace, judge, images, labels, purposes)


def clean_table(workplace: Workplace, unit: Unit) -> pa.Table:
    """The table of a node of clean verdicts."""
    found = judge_clean(make_judge(workplace, unit), workplace.images_of(unit), workplace)
    return pa.Table.from_pylist([asdict(outcome) for outcome in found], schema=CLEAN)


def clean_outcomes(workplace: Workplace, unit: Unit, find: Find, judge: Judge | None = None) -> list[Outcome]:
    """The verdicts on the unit's clean images, from their node where it is there.

    Args:
        workplace: the run.
        unit: the unit.
        find: finds the node's table.
        judge: decides where there is none; None to make one.
    """
    table = find(clean_node(workplace, unit))
    if table is not None:
        return [Outcome(**row) for row in table.to_pylist()]
    return judge_clean(judge or make_judge(workplace, unit), workplace.images_of(unit), workplace)


def run_clean(workplace: Workplace, unit: Unit, find: Find, progress: Progress) -> pa.Table:
    """Judge each clean image of the chunk."""
    book = RowBook(workplace, unit, workplace.images_of(unit))
    for image, outcome in enumerate(clean_outcomes(workplace, unit, find)):
        book.add(image, outcome, outcome.pred, outcome.right, attack="none")
    progress(1.0)
    return book.table()
