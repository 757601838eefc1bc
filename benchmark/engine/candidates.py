"""No-box candidates: a surrogate alone decides them, so that all entries of a data set are judged on the same ones."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from benchmark.access import GradientView, no_box
from benchmark.attacks.registry import build
from benchmark.data.split import Split
from benchmark.engine.batches import Batches
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.matrix import Cell
from benchmark.randomness import content_seed
from benchmark.surrogates import DEFAULT, load_surrogate
from benchmark.verify import verify


@dataclass(frozen=True)
class Answer:
    """An attack's candidates (N, C, H, W), and the passes that each image cost."""

    candidates: Tensor
    queries: Sequence[int]
    gradients: Sequence[int]
    seconds: float


def seed_of(split: Split, cell: Cell, eps: float, image: int) -> int:
    """Seed of an image under a cell: the same wherever view and parameters are the same, whatever the track."""
    params = sorted(cell.params.items())
    return content_seed(split.dataset, split.ids[image], cell.method, params, cell.norm, f"{eps:g}")


def transferred(
    workplace: Workplace,
    unit: Unit,
    cell: Cell,
    eps: float,
    batch: Sequence[int],
    listen: Callable[[GradientView], None] = lambda _: None,
) -> Answer:
    """Attack the cell's surrogate.

    Args:
        workplace: the run.
        unit: whose images are attacked; its submission plays no part.
        cell: a cell of the no-box track.
        eps: its budget.
        batch: numbers of images of the unit.
        listen: given the view before the attack begins.
    """
    card, task = workplace.card(unit.dataset), workplace.task(unit.dataset)
    part = workplace.images_of(unit).subset(batch)
    images, labels = part.images.to(workplace.device), part.labels.to(workplace.device)
    draw = workplace.randomness([seed_of(part, cell, eps, image) for image in range(len(part))])
    attack: Any = build(cell.method, cell.params)
    started = time.perf_counter()
    surrogate = load_surrogate(workplace.root, card, cell.surrogate or DEFAULT).to(workplace.device)
    view = no_box(surrogate, task.outputs, draw.fork("view"))
    listen(view)
    candidates = attack(view, task.goal(labels), images, eps, draw)
    seconds = (time.perf_counter() - started) / len(images)
    return Answer(candidates, view.queries.tolist(), view.gradients.tolist(), seconds)


def candidates_table(workplace: Workplace, unit: Unit, cell: Cell, eps: float) -> pa.Table:
    """Attack all images of a chunk; one row per image.

    Raises:
        ValueError: the attack's answer is no set of images like those that it was given.
        Exception: whatever the attack raises; failures are not kept, each entry's unit tries again for itself.
    """
    split = workplace.images_of(unit)
    settings = workplace.settings

    def work(batch: list[int]) -> list[dict[str, object]]:
        answer = transferred(workplace, unit, cell, eps, batch)
        candidates = answer.candidates.detach().cpu()
        verify(candidates, split.images[batch], cell.norm, eps)
        spent = zip(batch, candidates, answer.queries, answer.gradients, strict=True)
        return [
            {
                "sample_id": split.ids[image],
                "candidate": candidate.contiguous().numpy().tobytes(),
                "queries": queries,
                "gradients": gradients,
                "seconds": answer.seconds,
            }
            for image, candidate, queries, gradients in spent
        ]

    batches = Batches(split.images[0, 0].numel(), settings.batch_pixels, settings.batch_size)
    rows = batches.over(range(len(split)), work)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pa.table(columns | {"candidate": pa.array(columns["candidate"], pa.large_binary())})


def answer_of(table: pa.Table, workplace: Workplace, unit: Unit, batch: Sequence[int]) -> Answer:
    """Read the candidates of some images of a chunk from their node's table."""
    split = workplace.images_of(unit)
    shape = split.images.shape[1:]
    rows = table.take(list(batch)).to_pylist()
    candidates = [np.frombuffer(row["candidate"], np.float32).reshape(shape) for row in rows]
    images = torch.from_numpy(np.stack(candidates)).to(workplace.device)
    seconds = sum(row["seconds"] for row in rows) / len(rows)
    return Answer(images, [row["queries"] for row in rows], [row["gradients"] for row in rows], seconds)
