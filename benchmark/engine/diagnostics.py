"""The diagnostic track: attacks at a budget that nothing should survive, and the size of the gradient itself."""

import pyarrow as pa
import torch
from torch import Tensor

from benchmark.access import adaptive
from benchmark.data.split import Split
from benchmark.engine.attack_track import AttackTrack
from benchmark.engine.plain_tracks import Progress
from benchmark.engine.rows import RowBook
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.matrix.diagnostics import GRADIENT
from benchmark.randomness import Randomness, content_seed
from benchmark.task import Classification


def run_diagnostics(workplace: Workplace, unit: Unit, progress: Progress) -> pa.Table:
    """Run the diagnostic attacks, then look at the adaptive gradient of every image of the chunk."""
    attacked = AttackTrack(workplace, unit, lambda _cell: None).run(progress)
    split = workplace.images_of(unit)
    book = RowBook(workplace, unit, split)
    common = {"attack": GRADIENT, "unranked": True}
    try:
        sizes = _gradient_sizes(workplace, unit, split).tolist()
    except (Exception, SystemExit) as error:
        for image in range(len(split)):
            book.add_gap(image, None, f"{type(error).__name__}: {error}", **common)
    else:
        for image, size in enumerate(sizes):
            # A size that is no number is no gradient either; the row says so by having none.
            book.add(image, None, None, None, score=size if size == size else None, **common)
    return pa.concat_tables([attacked, book.table()]).unify_dictionaries()


def _gradient_sizes(workplace: Workplace, unit: Unit, split: Split) -> Tensor:
    """Largest absolute component of the margin's gradient at each image, (N,); NaN where one is not finite."""
    task = Classification(len(split.classes))
    images, labels = split.images.to(workplace.device), split.labels.to(workplace.device)
    seeds = [content_seed(split.dataset, name, "diagnostic", GRADIENT) for name in split.ids]
    view = adaptive(workplace.build(unit), Randomness(seeds, workplace.device), workplace.profile.eot_samples)
    rows = torch.arange(len(split))
    seen = view.evaluate(images, lambda logits: task.margin(logits, labels), rows).gradient.flatten(1).abs().cpu()
    return torch.where(seen.isfinite().all(dim=1), seen.nan_to_num().amax(dim=1), torch.nan)
