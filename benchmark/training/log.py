"""What a training run tells: epochs, a table and a curve beside the weights, and what the run cost.

Nothing of this enters the weight file, and nothing of it is part of a submission's hash.
"""

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmark.data.split import Split
from benchmark.files import write_atomically
from benchmark.randomness import content_seed
from benchmark.submission.records import curve_path, record_path, table_path
from benchmark.training.filter_recipe import FilterRecipe
from benchmark.training.recipe import Recipe


@dataclass(frozen=True)
class Epoch:
    """One line of the training log.

    Attributes:
        number: counted from 1.
        loss: mean over the batches.
        clean: validation accuracy in [0, 1], balanced where the recipe says so.
        robust: the same under the recipe's adversary, or None.
        seconds: time taken to train, validation aside.
        validation_seconds: time taken to validate.
        first_stage: whether it belongs to the training that goes before the method's own.
        resumed: whether it was read from an interrupted run.
    """

    number: int
    loss: float
    clean: float
    robust: float | None
    seconds: float = field(default=0.0, compare=False)
    validation_seconds: float = field(default=0.0, compare=False)
    first_stage: bool = False
    resumed: bool = field(default=False, compare=False)

    @property
    def chosen_by(self) -> float:
        """What the checkpoint is chosen by: robust accuracy where the recipe has an adversary, else clean."""
        return self.clean if self.robust is None else self.robust


COLUMNS = ("stage", "epoch", "loss", "clean_accuracy", "robust_accuracy", "seconds", "validation_seconds")
"""Columns of the table; the record says which accuracy the two are."""


@dataclass(frozen=True)
class Paths:
    """The files beside a weight file."""

    weights: Path

    @property
    def table(self) -> Path:
        """The log as CSV."""
        return table_path(self.weights)

    @property
    def curve(self) -> Path:
        """The log as a picture, SVG."""
        return curve_path(self.weights)

    @property
    def record(self) -> Path:
        """What the run was and cost, JSON."""
        return record_path(self.weights)

    @property
    def part(self) -> Path:
        """The state of an unfinished run."""
        return self.weights.with_name(f"{self.weights.name}.part")


def write_log(paths: Paths, title: str, log: Sequence[Epoch], told: dict[str, Any]) -> None:
    """Write table, curve and record.

    Args:
        paths: where.
        title: of the curve.
        log: all epochs, in order.
        told: what else the record says, see :func:`facts`; costs are added to it.
    """
    write_atomically(paths.table, _table(log).encode())
    shown = [epoch for epoch in log if not epoch.first_stage]
    write_atomically(paths.curve, curve(title, shown, balanced=told["accuracy"] == "balanced").encode())
    write_atomically(paths.record, (json.dumps({**told, **costs(log)}, indent=2) + "\n").encode())


def recipe_key(recipe: Recipe | FilterRecipe) -> str:
    """Hash of what a recipe says of the weights; not of where it writes them, nor of the data sets that it names.

    Fields that have their default do not count: one that comes later leaves the keys of earlier records as they are.
    """
    said = recipe.model_dump(mode="json", exclude={"weights", "datasets"}, exclude_defaults=True)
    return f"{content_seed('recipe', 1, json.dumps(said, sort_keys=True)):016x}"


def facts(
    recipe: Recipe | FilterRecipe,
    training: Split,
    log: Sequence[Epoch],
    best: Epoch,
    sha256: str,
    begun_from: dict[str, str],
    device: str,
) -> dict[str, Any]:
    """What the record says of a run besides its costs.

    Args:
        recipe: of either kind.
        training: the training split.
        log: all epochs.
        best: the one whose weights were written.
        sha256: of the weight file.
        begun_from: sha256 of each stored network that the run began with or drew on, by name.
        device: kind of device.
    """
    return {
        "method": recipe.method,
        "dataset": training.dataset,
        "recipe": recipe_key(recipe),
        "sha256": sha256,
        "epochs": sum(not epoch.first_stage for epoch in log),
        "chosen_epoch": best.number,
        "accuracy": "balanced" if recipe.balanced else "plain",
        "clean_accuracy": best.clean,
        "robust_accuracy": best.robust,
        "begun_from": begun_from,
        "training_data": training.content_hash,
        "device": device,
        "torch": torch.__version__,
    }


def _table(log: Sequence[Epoch]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for epoch in log:
        writer.writerow(
            (
                "first" if epoch.first_stage else "main",
                epoch.number,
                f"{epoch.loss:.6f}",
                f"{epoch.clean:.6f}",
                "" if epoch.robust is None else f"{epoch.robust:.6f}",
                f"{epoch.seconds:.3f}",
                f"{epoch.validation_seconds:.3f}",
            )
        )
    return text.getvalue()


def costs(log: Sequence[Epoch]) -> dict[str, Any]:
    """Seconds and memory of a run: an epoch's seconds are those of training alone, the total has everything.

    Peak memory is that of the whole process in bytes, and on CUDA the largest that tensors held.
    """
    main = [epoch.seconds for epoch in log if not epoch.first_stage]
    return {
        "seconds_per_epoch": round(sum(main) / max(1, len(main)), 3),
        "total_seconds": round(sum(epoch.seconds + epoch.validation_seconds for epoch in log), 3),
        "peak_memory_bytes": _peak_memory(),
        "peak_cuda_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
    }


def _peak_memory() -> int | None:
    """Largest resident memory of this process in bytes; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 260, 44, 44, 28, 34


def curve(title: str, log: Sequence[Epoch], balanced: bool = False) -> str:
    """Draw accuracies (left axis, 0 to 1, plain or balanced) and loss (right axis, from 0) over the epochs, as SVG."""
    last = max((epoch.number for epoch in log), default=1)
    top = max((epoch.loss for epoch in log), default=1.0) or 1.0

    def across(number: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (number - 1) / max(1, last - 1)

    def up(share: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    lines = [
        ("clean", "#1b6ca8", "", [(epoch.number, epoch.clean) for epoch in log]),
        ("under attack", "#b5361c", "6 3", [(epoch.number, epoch.robust) for epoch in log if epoch.robust is not None]),
        (f"loss (top: {top:.3g})", "#5f6b76", "2 3", [(epoch.number, epoch.loss / top) for epoch in log]),
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="11" role="img"><title>{title}</title><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="16" font-size="12">{title}</text>',
        f'<text transform="translate(12 {up(0.5):.1f}) rotate(-90)" text-anchor="middle">'
        f"{'balanced accuracy' if balanced else 'accuracy'}</text>",
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(share):.1f}" y2="{up(share):.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{up(share) + 4:.1f}" text-anchor="end">{share:g}</text>'
        )
    for number in sorted({1, (1 + last) // 2, last}):
        parts.append(f'<text x="{across(number):.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{number}</text>')
    for place, (name, colour, dashes, points) in enumerate(line for line in lines if line[3]):
        path = " ".join(f"{across(number):.1f},{up(share):.1f}" for number, share in points)
        x = LEFT + 130 * place
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dashes}"/>'
            f'<line x1="{x}" x2="{x + 18}" y1="{HEIGHT - 8}" y2="{HEIGHT - 8}" stroke="{colour}" '
            f'stroke-dasharray="{dashes}"/><text x="{x + 22}" y="{HEIGHT - 4}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])
