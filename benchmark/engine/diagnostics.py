"""The diagnostic track: attacks at a budget that nothing should survive, and the size of the gradient itself."""

import logging
import time

import pyarrow as pa
import torch
from torch import Tensor

from benchmark.access import adaptive
from benchmark.data.split import Split
from benchmark.engine.attack_track import AttackTrack
from benchmark.engine.examples import write_examples
from benchmark.engine.plain_tracks import Progress
from benchmark.engine.rows import RowBook
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.matrix.diagnostics import GRADIENT, INFERENCE
from benchmark.randomness import Randomness, content_seed
from benchmark.task import Classification

LOG = logging.getLogger(__name__)

MEASUREMENTS = 5
"""Times that the same images are decided on, to find what a decision takes at the least."""


def run_diagnostics(workplace: Workplace, unit: Unit, progress: Progress) -> pa.Table:
    """Run the diagnostic attacks, look at the adaptive gradient of every image of the chunk, and time decisions.

    Example images are written beside the rows on the way.
    """
    if unit.chunk == 0:
        try:
            write_examples(workplace, unit)
        except (Exception, SystemExit) as error:
            LOG.warning("%s: no example images: %s: %s", unit, type(error).__name__, error)
    attacked = AttackTrack(workplace, unit, lambda _cell: None).run(progress)
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    for name, measure, column in ((GRADIENT, _gradient_sizes, "score"), (INFERENCE, _seconds, "seconds")):
        common = {"attack": name, "unranked": True}
        try:
            found = measure(workplace, unit, split).tolist()
        except (Exception, SystemExit) as error:
            for image in range(len(split)):
                book.add_gap(image, None, f"{type(error).__name__}: {error}", **common)
            continue
        for image, value in enumerate(found):
            # A gradient whose size is no number is none; the row says so by having no size.
            book.add(image, None, None, None, **{column: value if value == value else None}, **common)
    return pa.concat_tables([attacked, book.table()]).unify_dictionaries()


def _seconds(workplace: Workplace, unit: Unit, split: Split) -> Tensor:
    """Seconds that the deployed decision takes per image, (N,), all equal: images are decided on together."""
    defense = workplace.build(unit)
    images = split.images.to(workplace.device)
    seeds = [content_seed(split.dataset, name, "diagnostic", INFERENCE) for name in split.ids]
    taken = []
    for _ in range(MEASUREMENTS):
        started = time.perf_counter()
        defense.predict(images, Randomness(seeds, workplace.device)).label.cpu()
        taken.append(time.perf_counter() - started)
    return torch.full((len(split),), min(taken) / len(split))


def _gradient_sizes(workplace: Workplace, unit: Unit, split: Split) -> Tensor:
    """Largest absolute component of the margin's gradient at each image, (N,); NaN where one is not finite."""
    task = Classification(len(split.classes))
    images, labels = split.images.to(workplace.device), split.labels.to(workplace.device)
    seeds = [content_seed(split.dataset, name, "diagnostic", GRADIENT) for name in split.ids]
    view = adaptive(workplace.build(unit), Randomness(seeds, workplace.device), workplace.profile.eot_samples)
    rows = torch.arange(len(split))
    seen = view.evaluate(images, lambda logits: task.margin(logits, labels), rows).gradient.flatten(1).abs().cpu()
    return torch.where(seen.isfinite().all(dim=1), seen.nan_to_num().amax(dim=1), torch.nan)
