"""``bench attack`` and ``bench matrix --cost``: one attack to look at, and what attacks cost."""

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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pgd20", *NATURAL), "Did you mean 'pgd-20'?"),
        (("pgd-20", *NATURAL, "--track", "clean"), "track 'clean' has no attacks"),
        (("fab-t", *NATURAL, "--track", "no-box"), "track 'no-box' has no cell 'fab-t' that 'natural' meets"),
        (("pgd-20", *NATURAL, "--eps", "0"), "--eps 0 is no budget; give a number above 0."),
        (("pgd-20", *NATURAL, "--eps", "0.03"), "it is stated in 1/255, so --eps 8 means 8/255."),
        (("pgd-20", *NATURAL, "--eps", "400"), "--eps 400 is no L-inf budget"),
        (("pgd-20", *NATURAL, "--matrix", "none.toml"), "the matrix file none.toml is missing"),
        (("pgd-20", "-s", "natural", "-d", "dermamnist"), "does not name the data set 'dermamnist'; it names"),
        (("pgd-20", *NATURAL, "--device", "tpu"), "device 'tpu' is unknown; choose cpu or cuda."),
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
