"""A set of 100,000 films of 224 pixels in colour is evaluated, attacked and trained on in under 3 GB of memory."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import open_memmap

from benchmark.root import Root, open_board

COUNTS = {"train": 98_000, "val": 1_000, "test": 1_000}
SIDE = 224
LIMIT = 3e9

CARD = """
name = "large"
title = "Large"
modality = "none"
task = "binary"
classes = ["dark", "bright"]
size = {side}
channels = 3
source = "made for a test"
licence = "none"
citation = "none"
loader = "arrays"
patient_ids = false
[splits]
train = {train}
val = {val}
test = {test}
{files}
[arrays]
[official]
count = 256
drawn = "by rule"
"""

STEPS = {
    "evaluate": """
from benchmark.data.registry import official_subset
subset = official_subset(card, load_split(card, "test", root))
answers = [network(subset.pixels[first : first + 32]) for first in range(0, len(subset), 32)]
told = len(subset), subset.content_hash, float(torch.cat(answers).sum())
""",
    "fit GAP on 512 images": """
from benchmark.access import gray_box
from benchmark.attacks.gap import Gap
from benchmark.defense import Defense
from benchmark.randomness import Randomness
from benchmark.task import Classification
train = load_split(card, "train", root)
view = gray_box(Defense(network, 2), train.pixels, train.labels)
told = len(Gap(batches=16, batch_size=16, width=4).fit(view, Classification(2), 8, Randomness([1])))
""",
    "train an epoch of 2,000 images": """
from benchmark.training import Recipe, train as trained
recipe = Recipe(
    method="natural", datasets=["large"], architecture="small-mobilenetv2", options={"width": 0.35}, seed=1, epochs=1,
    epoch_images=2000, batch_size=32,
)
splits = load_split(card, "train", root), load_split(card, "val", root)
told = trained(recipe, card, splits, Path(folder) / "weights.safetensors").log[0].loss
""",
}

FRAME = """
import json, resource, sys
from pathlib import Path
import torch
from benchmark.data.registry import load_split
from benchmark.data.card import read_card
from benchmark.models import build_network
from benchmark.root import open_board
torch.set_num_threads(1)
folder = sys.argv[1]
root = open_board(Path(folder))
card = read_card(root.datasets / "large")
network = build_network("small-mobilenetv2", 2, 3, width=0.35).eval()
with torch.no_grad() if "official" in sys.argv[2] else torch.enable_grad():
    exec(sys.argv[2])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"told": told, "peak": peak}))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """15 GB of images, of which the file system keeps the few that are not black."""
    root = open_board(tmp_path_factory.mktemp("large") / "board", make=True)
    folder = root.data / "large"
    folder.mkdir()
    files = []
    for split, count in COUNTS.items():
        images = open_memmap(folder / f"{split}_images.npy", "w+", dtype=np.uint8, shape=(count, SIDE, SIDE, 3))
        for place in range(0, count, max(1, count // 500)):
            images[place] = 90 + 60 * (place % 2) + np.random.default_rng(place).integers(0, 40, images.shape[1:])
        images.flush()
        del images
        rows = "".join(f"{split}-{place},{('dark', 'bright')[place % 2]}\n" for place in range(count))
        (folder / f"{split}.csv").write_text("id,label\n" + rows)
        for name in (f"{split}_images.npy", f"{split}.csv"):
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            files.append(f'[[files]]\nname = "{name}"\nsha256 = ["{digest}"]\nhow_to_get = "ask the test"\n')
    (root.datasets / "large").mkdir()
    (root.datasets / "large" / "dataset.toml").write_text(CARD.format(side=SIDE, files="".join(files), **COUNTS))
    return root


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_memory_does_not_grow_with_the_set(large: Root, step: str) -> None:
    command = [sys.executable, "-c", FRAME, str(large.path), STEPS[step]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    told = json.loads(done.stdout.splitlines()[-1])
    print(step, told)
    assert told["peak"] < LIMIT
