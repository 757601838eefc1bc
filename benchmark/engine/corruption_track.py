"""The corruption track: sequences of ever more changed images, without an attacker."""

import pyarrow as pa

from benchmark.corruption import PERTURBATIONS, frames
from benchmark.engine.clean_track import Progress, clean_outcomes, judged, make_judge
from benchmark.engine.graph import Find
from benchmark.engine.rows import Outcome, RowBook
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.randomness import content_seed


def run_corruption(workplace: Workplace, unit: Unit, find: Find, progress: Progress) -> pa.Table:
    """Judge every frame of every sequence; one draw each, since 21 frames of one image repeat the question anyway."""
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    judge = make_judge(workplace, unit)
    clean = clean_outcomes(workplace, unit, find, judge)
    judge.draws = 1
    corruption = workplace.matrix.corruption
    severities = workplace.profile.severities or corruption.severities
    images, labels = split.images.to(workplace.device), split.labels.to(workplace.device)
    for place, name in enumerate(PERTURBATIONS):
        for severity in severities:
            seeds = [content_seed(split.dataset, sample, "corruption", name, severity) for sample in split.ids]
            draw = workplace.randomness(seeds)
            answers: list[list[Outcome]] = []
            for number, frame in enumerate(frames(name, images, severity, draw, corruption.mode)):
                purposes = [(split.dataset, sample, "corruption", name, severity, number) for sample in split.ids]
                answers.append(judged(workplace, judge, frame, labels, purposes, again=False, fresh=number == 0))
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
