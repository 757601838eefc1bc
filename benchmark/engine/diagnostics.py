"""The diagnostic track: attacks at a budget that nothing should survive, and the size of the gradient itself."""

import time
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import torch

from benchmark.access import adaptive
from benchmark.data.split import Split
from benchmark.engine.attack_track import AttackTrack
from benchmark.engine.batches import Batches
from benchmark.engine.clean_track import Progress
from benchmark.engine.graph import Find, Keep
from benchmark.engine.rows import RowBook
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.host.line import reason_of
from benchmark.matrix.diagnostics import GRADIENT, INFERENCE
from benchmark.randomness import content_seed

Measure = Callable[[Workplace, Unit, Split], Sequence[Mapping[str, float | None]]]
"""Gives the columns of each image's row."""

MEASUREMENTS = 5
"""Times that a decision is clocked, to find what it takes at the least."""


def run_diagnostics(workplace: Workplace, unit: Unit, find: Find, progress: Progress, keep: Keep) -> pa.Table:
    """Run the diagnostic attacks, look at the adaptive gradient of every image of the chunk, and time decisions."""
    attacked = AttackTrack(workplace, unit, find, lambda _cell: None, keep).run(progress)
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    measures: dict[str, Measure] = {GRADIENT: _gradient_sizes, INFERENCE: _decision_cost}
    for name, measure in measures.items():
        common = {"attack": name, "unranked": True}
        try:
            told = measure(workplace, unit, split)
        except (Exception, SystemExit) as error:
            for image in range(len(split)):
                book.add_gap(image, None, reason_of(error), **common)
            continue
        for image, columns in enumerate(told):
            book.add(image, None, None, None, **columns, **common)
    return pa.concat_tables([attacked, book.table()]).unify_dictionaries()


def _decision_cost(workplace: Workplace, unit: Unit, split: Split) -> list[dict[str, float]]:
    """What a deployed decision takes per image; the same of all, since images are decided on together."""
    defense = workplace.measured(unit)
    images = split.images.to(workplace.device)
    seeds = [content_seed(split.dataset, name, "diagnostic", INFERENCE) for name in split.ids]
    flops = defense.flops(images, workplace.randomness(seeds))
    taken = []
    for _ in range(MEASUREMENTS):
        started = time.perf_counter()
        defense.predict(images, workplace.randomness(seeds)).label.cpu()
        taken.append(time.perf_counter() - started)
    count = len(split)
    return [{"score": flops / count / 1e9, "seconds": min(taken) / count}] * count


def _gradient_sizes(workplace: Workplace, unit: Unit, split: Split) -> list[dict[str, float | None]]:
    """Largest absolute component of the margin's gradient at each image; None where one is not finite."""
    task = workplace.task(unit.dataset)
    defense = workplace.target(unit)

    def work(batch: list[int]) -> list[dict[str, float | None]]:
        part = split.subset(batch)
        images, goal = part.images.to(workplace.device), task.goal(part.labels.to(workplace.device))
        seeds = [content_seed(part.dataset, name, "diagnostic", GRADIENT) for name in part.ids]
        view = adaptive(defense, workplace.randomness(seeds), workplace.profile.eot_samples)
        rows = torch.arange(len(part))
        seen = view.evaluate(images, goal.margin, rows).gradient.flatten(1).abs().cpu()
        finite = seen.isfinite().all(dim=1).tolist()
        sizes = seen.nan_to_num().amax(dim=1).tolist()
        return [{"score": size if known else None} for size, known in zip(sizes, finite, strict=True)]

    return Batches(split.images[0, 0].numel(), workplace.settings.batch_pixels).over(range(len(split)), work)
