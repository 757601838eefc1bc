"""One's own images on the command line: imported, on a private board of one's own, and every mistake one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ..intake.pictures import pattern, save, table

Bench = Callable[..., Any]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Oblong colour images of two classes: pictures of one class are brighter."""
    for label, light in (("ill", 0), ("well", 90)):
        for number in range(24):
            grey = pattern(f"{label}{number}", 12, 16) // 2 + light
            save(tmp_path / "My Films" / label / f"{number}.png", np.repeat(grey[..., None], 3, axis=2))
    return tmp_path / "My Films"


def test_a_board_keeps_data_entries_results_and_site_together(bench: Bench, films: Path, tmp_path: Path) -> None:
    board = tmp_path / "hospital"
    told = bench("datasets", "import", films, "--size", "12x16", "--board", board)
    assert told.code == 0, told.err
    assert "my_films: " in told.out
    assert "12×16 pixels, 2 classes (ill, well)" in told.out
    assert bench("new", "ours", "--board", board).code == 0
    listed = bench("submissions", "--board", board, "--json")
    assert [one["name"] for one in json.loads(listed.out)] == ["ours"]
    (card,) = json.loads(bench("datasets", "--board", board, "--json").out)
    assert (card["name"], card["size"], card["state"]) == ("my_films", [12, 16], "available")
    done = bench("evaluate", "--board", board, "-t", "clean", "--profile", "quick", "--limit", 4, "--workers", 1)
    assert done.code == 0, done.err
    assert (board / "results" / "my_films" / "ours" / "clean.parquet").is_file()
    page = (board / "site" / "index.html").read_text("utf-8")
    assert "12×16" in page
    assert "pgd_at" not in page
    report = bench("report", "--board", board, "--json")
    assert {record["submission"] for record in json.loads(report.out)} == {"ours"}
    assert not list(Path.cwd().iterdir())


def test_a_boards_entries_are_attacked_verified_and_compared_there(bench: Bench, films: Path, tmp_path: Path) -> None:
    board = tmp_path / "hospital"
    bench("datasets", "import", films, "--size", "12x16", "--board", board)
    for name in ("ours", "theirs"):
        bench("new", name, "--board", board)
    run = ("-t", "clean", "--profile", "quick", "--limit", 4, "--workers", 1, "--no-site")
    assert bench("evaluate", "ours", "theirs", "--board", board, *run).code == 0
    told = bench("attack", "pgd-20", "-s", "ours", "-d", "my_films", "--limit", 2, "--board", board)
    assert told.code == 0, told
    assert bench("verify", "--board", board).code == 0
    assert "theirs" in bench("compare", "ours", "theirs", "--board", board).out


def test_inside_a_board_no_option_is_needed(
    bench: Bench, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = tmp_path / "hospital"
    bench("datasets", "import", films, "--size", 12, "--board", board)
    monkeypatch.chdir(board / "data")
    assert [one["name"] for one in json.loads(bench("datasets", "--json").out)] == ["my_films"]
    assert "ours/recipe.toml" not in bench("new", "ours").out
    assert (board / "submissions" / "ours" / "submission.toml").is_file()


def test_surrogates_of_an_imported_set_are_trained_by_their_recipes(bench: Bench, films: Path, tmp_path: Path) -> None:
    board = tmp_path / "hospital"
    bench("datasets", "import", films, "--size", 12, "--board", board)
    for recipe in (board / "datasets" / "my_films" / "surrogates").glob("*.toml"):
        recipe.write_text(recipe.read_text().replace("epochs = 40", "epochs = 1"))
    told = bench("train", "surrogates", "--dataset", "my_films", "--board", board)
    assert told.code == 0, told.err
    made = sorted(path.name for path in (board / "datasets" / "my_films" / "surrogates").glob("*.safetensors"))
    assert made == ["densenet.safetensors", "mobilenetv2.safetensors", "vgg.safetensors"]


def test_a_set_for_tests_alone_leaves_out_tracks_that_need_training_images(
    bench: Bench, films: Path, tmp_path: Path
) -> None:
    board = tmp_path / "hospital"
    (tmp_path / "only").mkdir()
    films.rename(tmp_path / "only" / "test")
    told = bench("datasets", "import", tmp_path / "only", "--size", 12, "--board", board)
    assert "tracks whose attackers need some will be left out" in told.out
    bench("new", "ours", "--board", board)
    run = ("evaluate", "--board", board, "--profile", "quick", "--limit", 2, "--workers", 1, "--no-site")
    done = bench(*run, "-t", "clean", "-t", "gray-box", "-t", "no-box")
    assert "no training images, which attackers of gray-box, no-box need: left out" in done.out
    assert [path.name for path in (board / "results" / "only" / "ours").iterdir()] == ["clean.parquet"]
    assert "choose other tracks" in bench(*run, "-t", "gray-box").sentence
    assert "no data set in" in bench("train", "surrogates", "--board", board).sentence


def test_leakage_marks_the_listing_the_report_and_the_site(bench: Bench, films: Path, tmp_path: Path) -> None:
    rows = [
        [f"{label}/{n}.png", label, ("train", "val", "test")[n % 3]] for label in ("ill", "well") for n in range(24)
    ]
    Image.open(films / "ill" / "0.png").save(films / "ill" / "2.png")
    board, labels = tmp_path / "hospital", table(tmp_path / "l.csv", ["image", "label", "split"], rows)
    asked = ("--labels", labels, "--split", "split", "--size", "12x16", "--name", "leaky")
    told = bench("datasets", "import", films, *asked, "--board", board)
    sentence = "1 image of test nearly the same as one of train, such as ill/2.png and ill/0.png."
    assert sentence in told.out
    assert f"leaky: leakage: {sentence}" in bench("datasets", "--board", board).out
    bench("new", "ours", "--board", board)
    bench("evaluate", "--board", board, "-t", "clean", "--profile", "quick", "--limit", 4, "--workers", 1)
    assert f"leakage: {sentence}" in bench("report", "--board", board).out
    assert sentence in (board / "site" / "index.html").read_text("utf-8")
    assert sentence in (board / "site" / "datasets.html").read_text("utf-8")


MISTAKES = {
    "datasets import nowhere": "nowhere is not there; give the folder of the images",
    "datasets import {films} --size 7": "--size 7 must be one number or HEIGHTxWIDTH, each from 8 to 1024",
    "datasets import {films} --size 12x": "--size 12x must be",
    "datasets import {films} --channels 2": "--channels 2 must be 1 or 3",
    "datasets import {films} --window 40": "must be two numbers, CENTRE,WIDTH",
    "datasets import {films} --window 40,0": "the width must be at least 1",
    "datasets import {films} --window 40,400": "--window is for DICOM files",
    "datasets import {films} --patient p": "give it with --labels",
    "datasets import {films} --labels nowhere.csv": "nowhere.csv is not there",
    "datasets import {films} --name Films": "cannot be a data set's name",
    "evaluate": "has no data set",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(bench: Bench, films: Path, tmp_path: Path, mistake: str) -> None:
    arguments = [str(films) if word == "{films}" else word for word in mistake.split()]
    told = bench(*arguments, "--board", tmp_path / "hospital")
    assert MISTAKES[mistake] in told.sentence


def test_a_board_is_no_project_and_no_folder_in_use(bench: Bench, project: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("years of work")
    assert "is no board" in bench("new", "ours", "--board", tmp_path / "used").sentence
    assert "is the benchmark itself" in bench("new", "ours", "--board", project).sentence
    assert "there is no board" in bench("report", "--board", tmp_path / "none").sentence
    both = bench("--root", project, "report", "--board", tmp_path / "none")
    assert both.sentence == "--root and --board exclude each other; give one."
