"""``bench external``: images of outsiders are verified, judged and kept, and count in the worst case."""

import numpy as np
import pandas as pd
import pytest

from benchmark.access import white_box
from benchmark.attacks import build
from benchmark.data.official import official_subset
from benchmark.data.registry import find_card, load_split
from benchmark.randomness import Randomness
from benchmark.results.store import read_table
from benchmark.root import find_root
from benchmark.submission import find_entry
from benchmark.task.classification import Classification
from leaderboard.entries import entries_in
from leaderboard.metrics import headline, records_of

from ..leaderboard.conftest import Pretend, write

DATASET = "synthetic_cxr"


@pytest.fixture(scope="module")
def found():
    """Eight official images, and what PGD at 8/255 makes of them against the natural entry."""
    root = find_root()
    card = find_card(DATASET, root)
    part = official_subset(card, load_split(card, "test", root)).subset(range(8))
    defense = find_entry(root, "natural").build(card)
    draw = Randomness(range(8))
    goal = Classification(len(card.classes)).goal(part.labels)
    images = build("pgd", {"loss": "margin"})(white_box(defense, draw), goal, part.images, 8.0, draw)
    return list(part.ids), part.images.numpy(), images.numpy()


@pytest.fixture
def handed_in(bench, tmp_path):
    """Hands in images and returns the answer, and the rows that were written."""

    def run(ids, images, *options, entry="natural"):
        file = tmp_path / "theirs.npz"
        np.savez(file, ids=np.array(ids), images=images)
        results = tmp_path / "results"
        told = bench("external", file, "-e", entry, "-d", DATASET, "--by", "A. Nother", "--results", results, *options)
        path = results / DATASET / "natural" / "external.parquet"
        return told, read_table(path).to_pandas() if path.is_file() else pd.DataFrame()

    return run


def test_images_that_break_the_entry_are_kept_with_who_found_them(handed_in, found):
    ids, _, images = found
    told, rows = handed_in(ids, images)
    assert told.code == 0
    broken = rows[~rows.skipped & ~rows.correct & (rows.pred_clean == rows.label)]
    assert len(broken) >= 6
    assert set(broken.suite) == {"A. Nother"}
    assert f"{len(broken)} of 8 images break the entry" in told.out.replace("\n", " ")
    assert float(broken.linf.max()) <= 8 / 255 + 1e-3


def test_every_official_image_has_a_row_and_stands_where_nothing_was_handed_in(handed_in, found):
    ids, _, images = found
    _, rows = handed_in(ids[:1], images[:1])
    card = find_card(DATASET, find_root())
    assert len(rows) == card.official.count
    left = rows[rows.sample_id != ids[0]]
    assert left.skipped.all()
    assert (left.correct == (left.pred_clean == left.label)).all()


def test_clean_images_break_nothing_and_those_outside_the_ball_are_projected(handed_in, found):
    ids, clean, images = found
    _, rows = handed_in(ids, clean)
    assert (rows.correct == (rows.pred_clean == rows.label)).all()
    _, rows = handed_in(ids, np.clip(clean + 20 * (images - clean), 0, 1))
    tried = rows[~rows.skipped]
    assert float(tried.linf.max()) <= 8 / 255 + 1e-3
    assert int(tried.reason.astype(str).str.startswith("projected").sum()) >= 7


def test_what_was_broken_before_stays_broken(handed_in, found):
    ids, clean, images = found
    _, first = handed_in(ids[:4], images[:4])
    _, second = handed_in(ids, np.concatenate([clean[:4], images[4:]]))
    before, now = (set(rows[~rows.correct].sample_id) for rows in (first, second))
    assert before < now


def test_whole_numbers_are_grey_levels(handed_in, found):
    ids, clean, _ = found
    _, rows = handed_in(ids, np.round(clean * 255).astype(np.uint8))
    assert float(rows[~rows.skipped].linf.max()) <= 0.5 / 255 + 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ids, images: ({"ids": np.array(ids)}), "array images is missing"),
        (lambda ids, images: {"ids": np.array(ids), "images": images[:, :, :5]}, "one image for each id"),
        (lambda ids, images: {"ids": np.array(ids[:3]), "images": images}, "one image for each id"),
        (lambda ids, images: {"ids": np.array(["nobody", *ids[1:]]), "images": images}, "such as 'nobody'"),
        (lambda ids, images: {"ids": np.array([ids[1], *ids[1:]]), "images": images}, "is there twice"),
        (lambda ids, images: {"ids": np.arange(8), "images": images}, "give one text for each image"),
        (lambda ids, images: {"ids": np.array(ids, dtype=object), "images": images}, "cannot be read as npz"),
        (lambda ids, images: {"ids": np.array(ids), "images": images.astype(int)}, "give float in [0, 1] or uint8"),
    ],
)
def test_a_file_that_is_wrong_is_told_in_a_sentence(bench, tmp_path, found, change, words):
    ids, _, images = found
    file = tmp_path / "wrong.npz"
    np.savez(file, **change(ids, images))
    told = bench("external", file, "-e", "natural", "-d", DATASET, "--by", "me", "--results", tmp_path / "r")
    assert words in told.sentence
    assert not (tmp_path / "r" / DATASET).exists()


def test_images_that_are_no_numbers_break_nothing(handed_in, found):
    ids, _, images = found
    told, rows = handed_in(ids, np.full_like(images, np.nan))
    assert "0 of 8 images break" in told.out.replace("\n", " ")
    assert rows.skipped.all()


def test_the_worst_case_counts_what_outsiders_found(tmp_path):
    one = Pretend("one", frames=2, corrupted=1)
    theirs = [
        row | {"track": "external", "attack": "external", "suite": "A. Nother"}
        for row in one.rows()
        if (row["track"], row["attack"], row["norm"], row["eps_255"]) == ("white-box", "fgsm", "linf", 8.0)
    ]
    broken = [row | ({"correct": False, "right_draws": 0} if place < 3 else {}) for place, row in enumerate(theirs)]
    found = records_of(entries_in([write(tmp_path, [*one.rows(), *broken])]))
    assert headline(found, "one", "films").value == pytest.approx(0.7)
    (share,) = [record for record in found if record.metric == "found_by_others"]
    assert share.value == pytest.approx(0.3)
