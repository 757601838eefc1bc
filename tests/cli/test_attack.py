"""``bench attack`` and ``bench matrix --cost``: one attack to look at, and what attacks cost."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from benchmark.matrix.model import MATRIX_FILE, load_matrix
from benchmark.results.schema import SCHEMA
from benchmark.results.store import write_table

SOURCE = Path(__file__).resolve().parents[2]
NATURAL = ("-s", "natural", "-d", "synthetic_cxr", "--limit", "2")


@pytest.fixture
def here(bench):
    """``bench`` on the shipped project."""
    return lambda *arguments: bench("--root", SOURCE, *arguments)


CARD = """
name = "small"
title = "Small"
modality = "none"
task = "binary"
classes = ["no", "[yes]"]
size = 12
channels = 1
source = "made for a test"
licence = "none"
citation = "none"
loader = "npz"
patient_ids = false
[splits]
train = 6
val = 6
test = 6
[[files]]
name = "small.npz"
sha256 = ["SHA256"]
how_to_get = "ask the test"
[npz]
ids = "{split}_ids"
[official]
count = 4
drawn = "by rule"
"""
MANIFEST = """
name = "linear"
title = "Linear"
authors = ["Somebody"]
task = "classification"
datasets = ["small"]
architecture = "linear"
defense_family = "none"
revision = 1
"""
DEFENSE = """
from torch import nn
from benchmark.defense import Defense


def build(context):
    return Defense(nn.Sequential(nn.Flatten(), nn.Linear(context.size**2, context.num_classes)), context.num_classes)
"""


@pytest.fixture
def small_set(tmp_path):
    """Return a function that makes a project with one small set, whose ids follow a pattern, and a linear entry."""

    def make(pattern: str) -> Path:
        root = tmp_path / "small_project"
        for folder in ("data", "datasets/small", "submissions/linear"):
            (root / folder).mkdir(parents=True)
        (root / "BENCHMARK.md").touch()
        arrays = {}
        for seed, split in enumerate(("train", "val", "test")):
            arrays[f"{split}_images"] = np.random.default_rng(seed).integers(0, 256, (6, 12, 12), dtype=np.uint8)
            arrays[f"{split}_labels"] = np.arange(6) % 2
            # A character behind it keeps a NUL at the end of an id.
            arrays[f"{split}_ids"] = np.array([pattern.format(split=split, i=i) + "." for i in range(6)])
        np.savez(root / "data" / "small.npz", **arrays)
        digest = hashlib.sha256((root / "data" / "small.npz").read_bytes()).hexdigest()
        (root / "datasets" / "small" / "dataset.toml").write_text(CARD.replace("SHA256", digest))
        (root / "submissions" / "linear" / "submission.toml").write_text(MANIFEST)
        (root / "submissions" / "linear" / "defense.py").write_text(DEFENSE)
        return root

    return make


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_three_images_per_film_are_saved_and_the_adversarial_one_lies_in_the_ball(here, tmp_path):
    answer = here("attack", "pgd-20", *NATURAL, "--eps", "4", "--save", tmp_path / "seen")
    assert answer.code == 0, answer.err
    names = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert [name.rsplit("-", 1)[1] for name in names] == ["adversarial.png", "clean.png", "perturbation.png"] * 2
    for stem in {name.rsplit("-", 1)[0] for name in names}:
        clean, adversarial = (pixels(tmp_path / "seen" / f"{stem}-{what}.png") for what in ("clean", "adversarial"))
        # Saving rounds to whole grey levels.
        assert 1 <= abs(adversarial - clean).max() <= 5
        shown = pixels(tmp_path / "seen" / f"{stem}-perturbation.png")
        assert min(shown.min(), 255 - shown.max()) <= 1


@pytest.mark.parametrize(
    "pattern",
    ["{split}/NORMAL/IM {i:04d}.jpeg", "../../up-{i}", "/abs/{i}", "[/b] {i} \x1b[31m", "{i}\x00", "x" * 300 + "/{i}"],
)
def test_any_ids_are_saved_below_the_folder_and_printed_as_they_are(bench, small_set, tmp_path, pattern):
    root = small_set(pattern)
    answer = bench(
        *("--root", root, "attack", "fgsm", "-s", root / "submissions" / "linear", "-d", "small"),
        *("--data-dir", root / "data", "--limit", 2, "--save", tmp_path / "far" / "seen"),
    )
    assert answer.code == 0, answer.err
    assert "6 images under" in answer.out
    assert sum(path.is_file() for path in (tmp_path / "far").rglob("*")) == 6
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["seen"]
    assert not list(tmp_path.glob("up-*"))


def test_the_table_tells_of_each_image_what_became_of_it(here):
    answer = here("attack", "pgd-20", *NATURAL)
    assert answer.code == 0, answer.err
    assert answer.out.count("8.00") == 2
    assert "yes" in answer.out


def test_the_track_that_knows_most_is_taken_unless_one_is_named(here):
    assert "adaptive pgd-20" in here("attack", "pgd-20", *NATURAL).out
    assert "no-box pgd-20" in here("attack", "pgd-20", *NATURAL, "--track", "no-box").out


def test_a_cell_of_another_matrix_file_can_be_tried(here, tmp_path):
    assert "no cell 'bim-3'" in here("attack", "bim-3", *NATURAL).sentence
    draft = tmp_path / "draft.toml"
    text = MATRIX_FILE.read_text().replace('name = "bim-2"', 'name = "bim-3"')
    draft.write_text(text.replace("params = { steps = 2 }", "params = { steps = 3 }"))
    answer = here("attack", "bim-3", *NATURAL, "--matrix", draft)
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("command", [("attack", "pgd-l2", *NATURAL), ("evaluate", "natural", "--no-site")])
def test_a_matrix_file_whose_attack_has_another_norm_is_refused(here, tmp_path, command):
    draft = tmp_path / "draft.toml"
    draft.write_text(MATRIX_FILE.read_text().replace('method = "pgd-l2"', 'method = "pgd"'))
    told = here(*command, "--matrix", draft).sentence
    assert "draft.toml: cell 'white-box/pgd-l2': norm is 'l2' but attack 'pgd' works in 'linf'" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pgd20", *NATURAL), "Did you mean 'pgd-20'?"),
        (("pgd-20", *NATURAL, "--track", "clean"), "track 'clean' has no attacks"),
        (("fab-t", *NATURAL, "--track", "no-box"), "no cell 'fab-t' that 'natural' is evaluated with"),
        (
            ("pgd-20", *NATURAL, "--eps", "0.03"),
            "--eps 0.03 is no L-inf budget: it is stated in 1/255, so 8 means 8/255",
        ),
        (
            ("hopskipjump-l2", *NATURAL, "--eps", "inf"),
            "--eps inf is no L2 budget: it is stated in 1/255 per component",
        ),
        (("one-pixel", *NATURAL, "--eps", "0.5"), "--eps 0.5 is no L0 budget: it is a number of pixels"),
        (("one-pixel", *NATURAL, "--eps", "1025"), "give a whole number from 1 to 1024, the pixels of an image."),
        (("pgd-20", *NATURAL, "--matrix", "none.toml"), "the matrix file none.toml is missing"),
        (("pgd-20", "-s", "natural", "-d", "dermamnist"), "does not name the data set 'dermamnist'; it names"),
        (("pgd-20", *NATURAL, "--device", "tpu"), "device 'tpu' is unknown; choose cpu, cuda or cuda:N"),
    ],
)
def test_a_mistake_is_answered_by_one_sentence(here, arguments, told):
    assert told in here("attack", *arguments).sentence


def result_row(cell, image, eps, **changes):
    """A row of a deterministic defense that this cell attacked in vain, with half a second and 20 gradients."""
    made = dict.fromkeys(SCHEMA.names)
    made.update(
        submission="cushion_jpeg80", dataset="pneumoniamnist", sample_id=image, track=cell.track,
        attack=cell.name, norm=cell.norm, eps_255=eps, unranked=cell.unranked, status="ok", same_as="",
        skipped=False, official=True, individual=False, abstained=False, correct=True, queries=21, gradients=20,
        seconds=0.5,
    )  # fmt: skip
    return made | changes


def test_the_cost_of_every_cell_in_the_rows_is_told(here, tmp_path):
    """Of every cell that meets a deterministic defense: image a attacked at each budget, image b at none."""
    skipped = {"skipped": True, "queries": None, "gradients": None, "seconds": None}
    cells = {(cell.track, cell.name): cell for cell in load_matrix()[0].cell if cell.applies(stochastic=False)}
    rows = [result_row(cell, "a", eps) for cell in cells.values() for eps in cell.eps_255]
    rows += [result_row(cell, "b", eps, **skipped) for cell in cells.values() for eps in cell.eps_255]
    write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / "rows.parquet")
    found = json.loads(here("matrix", "--cost", "--json", "--results", tmp_path).out)
    assert len(found) == len(cells)
    for one in found:
        cell = cells[one["track"], one["attack"]]
        budgets = len(cell.eps_255)
        assert (one["norm"], one["attacked"], one["skipped"]) == (cell.norm, budgets, budgets)
        assert (one["seconds"], one["queries"], one["gradients"]) == (0.5 * budgets, 21, 20)


def test_costs_without_any_rows_are_an_empty_list(here, tmp_path):
    (tmp_path / "empty").mkdir()
    assert json.loads(here("matrix", "--cost", "--json", "--results", tmp_path / "empty").out) == []
