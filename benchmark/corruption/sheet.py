"""A picture of all sequences for a person to look at."""

import numpy as np
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from benchmark.corruption.catalogue import PERTURBATIONS, Mode, frame_count
from benchmark.corruption.sequences import frames
from benchmark.randomness import Randomness

CELL = 64
"""Side of a cell in the sheet, in pixels."""

LABEL = 110
"""Width of the column of names, in pixels."""

COLUMNS = 5
"""Frames shown of each sequence, evenly spread from first to last."""


def contact_sheet(images: Tensor, severity: int, draw: Randomness, mode: Mode = "paper") -> Image.Image:
    """Draw one row per perturbation: for each image five frames from the first to the last.

    Args:
        images: (N, 1 or 3, H, W), float32 in [0, 1]; a handful.
        severity: 1 ... 5.
        draw: one stream per image.
        mode: see :func:`benchmark.corruption.frames`.

    Returns:
        RGB picture, 14 * 64 px high and 110 + N * 5 * 64 px wide.

    Raises:
        BenchError: as :func:`benchmark.corruption.frames`.
    """
    last = frame_count(mode) - 1
    shown = [round(column * last / (COLUMNS - 1)) for column in range(COLUMNS)]
    sheet = Image.new("RGB", (LABEL + len(images) * COLUMNS * CELL, len(PERTURBATIONS) * CELL), "white")
    pen = ImageDraw.Draw(sheet)
    for row, name in enumerate(PERTURBATIONS):
        pen.text((6, row * CELL + CELL // 2 - 6), name.replace("_", " "), fill="black")
        for number, frame in enumerate(frames(name, images, severity, draw, mode)):
            if number in shown:
                _paste(sheet, frame, row, shown.index(number))
    return sheet


def _paste(sheet: Image.Image, frame: Tensor, row: int, column: int) -> None:
    cells = F.interpolate(frame.cpu(), size=(CELL, CELL), mode="nearest").expand(-1, 3, -1, -1)
    pixels = (cells * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for image, cell in enumerate(pixels):
        left = LABEL + (image * COLUMNS + column) * CELL
        sheet.paste(Image.fromarray(np.ascontiguousarray(cell)), (left, row * CELL))
