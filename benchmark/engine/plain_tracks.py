"""Tracks without an attacker: clean images and corruption sequences."""

from collections.abc import Callable

import pyarrow as pa

from benchmark.corruption import PERTURBATIONS, frames
from benchmark.data.split import Split
from benchmark.engine.rows import Outcome, RowBook, outcomes
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.judge import Judge
from benchmark.randomness import Randomness, content_seed
from benchmark.task import Classification

Progress = Callable[[float], None]
"""Told the share of a unit that is done, in [0, 1]."""


def make_judge(workplace: Workplace, unit: Unit) -> Judge:
    """A fresh copy of the deployed defense, on the bench."""
    task = Classification(len(workplace.card(unit.dataset).classes))
    return Judge(workplace.judged(unit), task, workplace.profile.judge_draws, workplace.device)


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


def run_corruption(workplace: Workplace, unit: Unit, progress: Progress) -> pa.Table:
    """Judge every frame of every sequence; one draw each, since 21 frames of one image repeat the question anyway."""
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    judge = make_judge(workplace, unit)
    clean = judge_clean(judge, split, workplace)
    judge.draws = 1
    corruption = workplace.matrix.corruption
    severities = workplace.profile.severities or corruption.severities
    images, labels = split.images.to(workplace.device), split.labels.to(workplace.device)
    for place, name in enumerate(PERTURBATIONS):
        for severity in severities:
            seeds = [content_seed(split.dataset, sample, "corruption", name, severity) for sample in split.ids]
            draw = Randomness(seeds, workplace.device)
            answers: list[list[Outcome]] = []
            for number, frame in enumerate(frames(name, images, severity, draw, corruption.mode)):
                purposes = [(split.dataset, sample, "corruption", name, severity, number) for sample in split.ids]
                answers.append(outcomes(judge.judge(frame, labels, purposes)))
            for image in range(len(split)):
                sequence = [answer[image] for answer in answers]
                book.add(image, None, clean[image].pred, None, attack=name, severity=severity, **_lists(sequence))
        progress((place + 1) / len(PERTURBATIONS))
    return book.table()


def _lists(sequence: list[Outcome]) -> dict[str, list[int] | list[float | None] | list[int | None] | None]:
    """Columns of a sequence from the answers to its frames."""
    scores, copies = [frame.score for frame in sequence], [frame.copies for frame in sequence]
    return {
        "preds": [frame.pred for frame in sequence],
        "scores": scores if any(score is not None for score in scores) else None,
        "copies_taken": copies if any(taken is not None for taken in copies) else None,
    }
