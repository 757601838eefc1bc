"""Attacks that are fitted on training images: fitted once per entry, data set, cell and budget, then only applied."""

import time
from dataclasses import dataclass

import pyarrow as pa
import safetensors.torch
from torch import Tensor

from benchmark.access import AnswersView, TrainingView, gray_box
from benchmark.attacks.base import CopyingAttack, FittedAttack
from benchmark.defense.target import Target
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.matrix import Cell
from benchmark.randomness import content_seed


@dataclass(frozen=True)
class Fit:
    """A fitted attack's state, and what fitting it cost in all."""

    state: dict[str, Tensor]
    queries: int
    gradients: int
    seconds: float


def fitted(
    workplace: Workplace, unit: Unit, cell: Cell, eps: float, attack: FittedAttack | CopyingAttack, target: Target
) -> Fit:
    """Fit an attack on the training images of the unit's data set, at one budget; a copy of the system is for all."""
    train, task = workplace.training(unit.dataset), workplace.task(unit.dataset)
    content = (train.dataset, cell.method, sorted(cell.params.items()), cell.norm, f"{eps:g}")
    started = time.perf_counter()
    images, labels = train.pixels.to(workplace.device), train.labels.to(workplace.device)
    draw = workplace.randomness([content_seed("fit", *content)])
    view: TrainingView | AnswersView
    if attack.knowledge == "answers":
        view = AnswersView(target, images, labels, draw.fork("answers"))
        state = attack.fit(view, task, draw)
    else:
        view = gray_box(target, images, labels)
        state = attack.fit(view, task, eps, draw)
    return Fit(state, view.queries, view.gradients, time.perf_counter() - started)


def fit_table(fit: Fit) -> pa.Table:
    """A fit as the table of its node: one row."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in fit.state.items()}
    spent = {"queries": [fit.queries], "gradients": [fit.gradients], "seconds": [fit.seconds]}
    return pa.table({"state": pa.array([safetensors.torch.save(state)], pa.large_binary())} | spent)


def fit_of(table: pa.Table, workplace: Workplace) -> Fit:
    """Read a fit from its node's table, onto the run's device."""
    (row,) = table.to_pylist()
    state = safetensors.torch.load(row.pop("state"))
    return Fit({name: tensor.to(workplace.device) for name, tensor in state.items()}, **row)
