"""What ``bench report`` gives a paper: a LaTeX table, CSV, and figures in SVG and PDF."""

import csv
import hashlib
import re

import pytest

from ..leaderboard.conftest import Pretend, holed, with_gradients

SMALL = {"frames": 2, "corrupted": 1}


@pytest.fixture
def here(board):
    """``bench`` on a board of two ranked entries and one with a gap."""
    gap = holed(Pretend("hat", **SMALL).rows(), "out of luck", track="black-box", sample_id="00001")
    return board(Pretend("natural", **SMALL, falls=with_gradients(range(3), 4.0)), Pretend("pgd_at", **SMALL), gap)


def rows_of_table(text):
    """The cells of each line of the table's body, by the entry's name."""
    lines = [line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if line.endswith(r" \\")]
    return {cells[0]: cells[1:] for cells in lines[1:]}


def test_the_latex_table_has_a_line_an_entry_and_as_many_cells_as_its_head(here):
    text = here("report", "--latex").out
    columns = re.search(r"\\begin{tabular}{(\w+)}", text).group(1)
    body = rows_of_table(text)
    assert len(body) == 3
    assert {len(cells) + 1 for cells in body.values()} == {len(columns)}
    assert text.count(r"\begin{") == text.count(r"\end{") == 2


def test_the_latex_table_gives_the_worst_case_with_its_interval_and_marks_who_is_not_ranked(here):
    body = rows_of_table(here("report", "--latex").out)
    natural = next(cells for name, cells in body.items() if name.startswith("Natural"))
    assert natural[0] == "100.0"
    assert re.fullmatch(r"70\.0 \[\d+\.\d, \d+\.\d\]", natural[6])
    (holed_name,) = [name for name in body if "$^{*}$" in name]
    assert body[holed_name][2] == body[holed_name][6] == "--"


def test_csv_has_a_line_for_every_record_and_nothing_where_there_is_no_number(here):
    lines = list(csv.DictReader(here("report", "--csv").out.splitlines()))
    headline = {"track": "all", "attack": "worst-case", "eps_255": "8.0", "metric": "robust_accuracy"}
    found = {one["submission"]: one for one in lines if headline.items() <= one.items()}
    assert (found["natural"]["value"], found["pgd_at"]["value"], found["hat"]["value"]) == ("0.7", "1.0", "")
    assert "out of luck" in found["hat"]["reason"]


@pytest.mark.slow
def test_figures_are_three_a_data_set_in_both_formats_and_the_same_twice(here, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    for folder in ("one", "two"):
        assert here("report", "--figures", tmp_path / folder).code == 0
    names = {path.name for path in (tmp_path / "one").iterdir()}
    kinds = ("budget", "clean-robust", "corruption")
    assert names == {f"films-{kind}.{suffix}" for kind in kinds for suffix in ("svg", "pdf")}
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / folder).glob("*.svg")}
        for folder in ("one", "two")
    ]
    assert digests[0] == digests[1]
    assert "clean accuracy in %" in (tmp_path / "one" / "films-clean-robust.svg").read_text(encoding="utf-8")


def test_two_formats_at_once_are_refused(here):
    assert "exclude each other" in here("report", "--csv", "--latex").sentence


def test_figures_into_a_file_are_refused(here, tmp_path):
    (tmp_path / "some_file").write_text("kept")
    assert "give a folder" in here("report", "--figures", tmp_path / "some_file").sentence
    assert (tmp_path / "some_file").read_text() == "kept"
