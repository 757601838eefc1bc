"""Attacks that are fitted on training images: fitted once per entry, data set, cell and budget, then only applied."""

import json
import time
from dataclasses import dataclass

import safetensors
import safetensors.torch
from torch import Tensor

from benchmark.access import gray_box
from benchmark.attacks.base import FittedAttack
from benchmark.attacks.registry import place_of
from benchmark.defense.target import Target
from benchmark.engine.made_by import FIT, code_hash
from benchmark.engine.settings import PARTS, Unit
from benchmark.engine.workplace import Workplace
from benchmark.files import write_atomically
from benchmark.matrix import Cell
from benchmark.randomness import Randomness, content_seed


@dataclass(frozen=True)
class Fit:
    """A fitted attack's state, and what fitting it cost in all."""

    state: dict[str, Tensor]
    queries: int
    gradients: int
    seconds: float


def fitted(workplace: Workplace, unit: Unit, cell: Cell, eps: float, attack: FittedAttack, target: Target) -> Fit:
    """Return the fit, from its file where an earlier unit of the run has made it."""
    train = workplace.training(unit.dataset)
    content = (train.dataset, cell.method, sorted(cell.params.items()), cell.norm, f"{eps:g}")
    code = code_hash(FIT, place_of(cell.method))
    entry_hash = workplace.entry_hash(unit.submission, unit.dataset)
    identity = content_seed(code, entry_hash, train.content_hash, workplace.settings.device, *content)
    folder = workplace.settings.results / PARTS / unit.dataset / workplace.entry(unit.submission).name
    path = folder / f"fit-{cell.name}-{eps:g}-{identity:016x}.safetensors"
    if path.is_file():
        return _read(path.read_bytes(), workplace)
    started = time.perf_counter()
    view = gray_box(target, train.pixels.to(workplace.device), train.labels.to(workplace.device))
    draw = Randomness([content_seed("fit", *content)], workplace.device)
    state = attack.fit(view, workplace.task(unit.dataset), eps, draw)
    fit = Fit(state, view.queries, view.gradients, time.perf_counter() - started)
    write_atomically(path, _written(fit))
    return fit


def _written(fit: Fit) -> bytes:
    spent = {"queries": fit.queries, "gradients": fit.gradients, "seconds": fit.seconds}
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in fit.state.items()}
    return safetensors.torch.save(state, {"spent": json.dumps(spent)})


def _read(content: bytes, workplace: Workplace) -> Fit:
    state = {name: tensor.to(workplace.device) for name, tensor in safetensors.torch.load(content).items()}
    # The header is a little-endian length and that many bytes of JSON (safetensors, format).
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return Fit(state, **json.loads(header["__metadata__"]["spent"]))
