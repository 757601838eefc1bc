"""Six images of an entry under attack, to look at: clean, perturbation, adversarial, and what was decided on each."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from benchmark.access import adaptive
from benchmark.attacks.pgd import Pgd
from benchmark.data.official import stratified_ids
from benchmark.engine.clean_track import make_judge
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Workplace
from benchmark.files import write_atomically
from benchmark.matrix.rules import rules
from benchmark.randomness import content_seed

COUNT = 6
AMPLIFIED = 10
"""Factor by which a perturbation is shown around grey."""

PICTURE, WORDS = "examples.webp", "examples.json"
"""Files beside an entry's rows: three rows of tiles (clean, perturbation, adversarial), and what was decided."""


@dataclass(frozen=True)
class Examples:
    """Images (N, C, H, W) in [0, 1] before and after the attack, and the deployed labels on both."""

    sample_ids: tuple[str, ...]
    labels: list[int]
    clean: Tensor
    adversarial: Tensor
    pred_clean: list[int]
    pred: list[int]


def examples_table(workplace: Workplace, unit: Unit) -> pa.Table:
    """Attack six images of the official subset; picture and words are one row.

    The attack is PGD with 20 steps on the margin through the whole defense, in L-inf: at the budget that ranks, where
    another norm ranks at that of the matrix in force.
    """
    ranking = workplace.matrix.ranking
    eps = (ranking if ranking.norm == Pgd.norm else rules().ranking).eps_255
    found = attacked_examples(workplace, unit, eps)
    told = (json.dumps(words(found, eps), indent=1) + "\n").encode()
    return pa.table(
        {PICTURE: pa.array([picture(found)], pa.large_binary()), WORDS: pa.array([told], pa.large_binary())}
    )


def write_examples(folder: Path, table: pa.Table) -> None:
    """Write picture and words beside the entry's rows."""
    (row,) = table.to_pylist()
    for name, content in row.items():
        write_atomically(folder / name, content)


def attacked_examples(workplace: Workplace, unit: Unit, eps_255: float) -> Examples:
    """Attack the first images of the official subset, classes in proportion."""
    split = workplace.split(unit.dataset, unit.track)
    chosen = split.by_ids(stratified_ids(split, min(COUNT, len(split)), []))
    images, labels = chosen.images.to(workplace.device), chosen.labels.to(workplace.device)
    seeds = [content_seed(chosen.dataset, name, "examples") for name in chosen.ids]
    draw = workplace.randomness(seeds)
    view = adaptive(workplace.target(unit), draw.fork("view"), workplace.profile.eot_samples)
    attack = Pgd(steps=20, loss="margin")
    adversarial = attack(view, workplace.task(unit.dataset).goal(labels), images, eps_255, draw)
    judge = make_judge(workplace, unit)
    before = judge.judge(images, labels, [(chosen.dataset, name, "clean") for name in chosen.ids])
    after = judge.judge(adversarial, labels, [(chosen.dataset, name, "examples", "adversarial") for name in chosen.ids])
    return Examples(
        chosen.ids,
        chosen.labels.tolist(),
        images.cpu(),
        adversarial.cpu(),
        before.first.label.tolist(),
        after.first.label.tolist(),
    )


def picture(found: Examples) -> bytes:
    """Draw the tiles as one WebP picture in the images' own resolution."""
    change = (0.5 + AMPLIFIED * (found.adversarial - found.clean)).clamp(0, 1)
    rows = [torch.cat(list(tiles), dim=2) for tiles in (found.clean, change, found.adversarial)]
    grid = (torch.cat(rows, dim=1) * 255).round().byte()
    image = Image.fromarray(grid[0].numpy()) if len(grid) == 1 else Image.fromarray(grid.permute(1, 2, 0).numpy())
    sink = io.BytesIO()
    image.convert("RGB").save(sink, "WEBP", quality=80, method=6)
    return sink.getvalue()


def words(found: Examples, eps_255: float) -> dict[str, object]:
    """What was attacked how, and decided on each image; labels are numbers of classes, -1 for an abstention."""
    each = zip(found.sample_ids, found.labels, found.pred_clean, found.pred, strict=True)
    return {
        "attack": "PGD, 20 steps on the margin, through the whole defense",
        "eps_255": eps_255,
        "amplified": AMPLIFIED,
        "images": [
            {"sample_id": name, "label": label, "pred_clean": before, "pred": after}
            for name, label, before, after in each
        ],
    }
