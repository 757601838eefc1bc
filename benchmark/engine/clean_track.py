"""The clean track, and the judge that every track makes: what the deployed system says to images as they are."""

from collections.abc import Callable

import pyarrow as pa

from benchmark.data.split import Split
from benchmark.engine.rows import Outcome, RowBook, outcomes
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.judge import Judge

Progress = Callable[[float], None]
"""Told the share of a unit that is done, in [0, 1]."""


def make_judge(workplace: Workplace, unit: Unit) -> Judge:
    """A fresh copy of the deployed defense, on the bench."""
    return Judge(workplace.judged(unit), workplace.task(unit.dataset), workplace.profile.judge_draws, workplace.device)


def judge_clean(judge: Judge, split: Split, workplace: Workplace) -> list[Outcome]:
    """What the deployed system says to the clean images; the same in every track."""
    purposes = [(split.dataset, name, "clean") for name in split.ids]
    return outcomes(judge.judge(split.images.to(workplace.device), split.labels.to(workplace.device), purposes))


def run_clean(workplace: Workplace, unit: Unit, progress: Progress) -> pa.Table:
    """Judge each clean image of the chunk."""
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    for image, outcome in enumerate(judge_clean(make_judge(workplace, unit), split, workplace)):
        book.add(image, outcome, outcome.pred, outcome.right, attack="none")
    progress(1.0)
    return book.table()
