"""The picture of all sequences."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.corruption import PERTURBATIONS, Mode, contact_sheet
from benchmark.corruption.sheet import CELL, COLUMNS, LABEL
from benchmark.randomness import Randomness


@pytest.mark.parametrize(("channels", "mode"), [(1, "paper"), (3, "released-code")])
def test_a_contact_sheet_has_a_row_per_perturbation_and_none_is_blank(
    tmp_path: Path, channels: int, mode: Mode
) -> None:
    images = torch.rand(2, channels, 28, 28, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "sheet.png"
    contact_sheet(images, 3, Randomness(range(2)), mode).save(path)
    picture = np.asarray(Image.open(path))
    assert picture.shape == (len(PERTURBATIONS) * CELL, LABEL + 2 * COLUMNS * CELL, 3)
    for index in range(len(PERTURBATIONS)):
        strip = picture[index * CELL : (index + 1) * CELL]
        assert strip[:, :LABEL].min() < 64, "the name is missing"
        first, last = strip[:, LABEL : LABEL + CELL], strip[:, LABEL + 4 * CELL : LABEL + 5 * CELL]
        assert first.std() > 1
        assert not np.array_equal(first, last)
