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
    return Judge(workplace.build(unit), task, workplace.profile.judge_draws, workplace.device)


def judge_clean(judge: Judge, split: Split, workplace: Workplace) -> list[Outcome]:
    """What the deployed system says to the clean images; the same in every track."""
    purposes = [(split.dataset, name, "clean") for name in split.ids]
    verdicts = judge.judge(split.images.to(workplace.device), split.labels.to(workplace.device), purposes)
    return outcomes(verdicts, split.labels)


def run_clean(workplace: Workplace, unit: Unit, progress: Progress) -> pa.Table:
    """Judge each clean image of the chunk."""
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    for image, outcome in enumerate(judge_clean(make_judge(workplace, unit), split, workplace)):
        seed = content_seed(split.dataset, split.ids[image], "clean")
        book.add(image, outcome, outcome.pred, outcome.right, attack="none", seed=seed, linf=0.0, l2=0.0)
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
            for number, frame in enumerate(frames(name, images, severity, draw, corruption.mode)):
                purposes = [(split.dataset, sample, "corruption", name, severity, number) for sample in split.ids]
                verdicts = judge.judge(frame, labels, purposes)
                distance = (frame - images).flatten(1)
                linf, l2 = distance.abs().amax(dim=1).tolist(), distance.norm(dim=1).tolist()
                for image, outcome in enumerate(outcomes(verdicts, split.labels)):
                    book.add(
                        image,
                        outcome,
                        clean[image].pred,
                        outcome.right,
                        attack=name,
                        severity=severity,
                        frame=number,
                        seed=seeds[image],
                        # Three decimals are enough for a curve and keep the committed files small.
                        prob_true=round(outcome.prob_true, 3),
                        probs=None,
                        linf=round(linf[image], 3),
                        l2=round(l2[image], 3),
                    )
        progress((place + 1) / len(PERTURBATIONS))
    return book.table()
