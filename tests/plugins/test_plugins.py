"""Attacks of other packages: found by entry point, evaluated with a matrix file, never official."""

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmark.attacks.registry import ATTACKS, build
from benchmark.cli.app import main
from benchmark.engine import made_by
from benchmark.engine.made_by import code_hash, code_of
from benchmark.errors import BenchError
from benchmark.matrix.model import MATRIX_FILE, load_matrix
from benchmark.results.store import read_table

from .conftest import install

PROJECT = Path(__file__).resolve().parents[2]
CELL = """
[[cell]]
track = "white-box"
name = "wide-stripes"
method = "stripes"
eps_255 = [8]
cost = "inexpensive"
params = { width = 4 }
knowledge = "the margin"
objective = "margin"
source = "test"
"""


@pytest.fixture
def matrix(tmp_path):
    """A matrix file with the sample package's attack as the only one."""
    head = MATRIX_FILE.read_text().split("[[cell]]")[0]
    path = tmp_path / "draft.toml"
    path.write_text(head + CELL)
    return path


@pytest.fixture
def project(tmp_path):
    """A project with one entry and one data set, without results of others."""
    path = tmp_path / "project"
    for part in ("submissions/natural", "datasets/synthetic_cxr"):
        shutil.copytree(PROJECT / part, path / part)
    shutil.copyfile(PROJECT / "BENCHMARK.md", path / "BENCHMARK.md")
    return path


def bench(project, monkeypatch, capsys, *arguments):
    """Run a command; returns its exit code, what it printed and what it complained of."""
    monkeypatch.setattr(sys, "argv", ["bench", "--root", *map(str, (project, *arguments))])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_plug_in_s_attack_is_one_of_the_attacks(striped):
    assert "stripes" in ATTACKS
    assert "stripes" in list(ATTACKS)
    assert build("stripes", {"width": 3}).width == 3


def test_without_the_plug_in_its_attack_is_unknown_and_the_sentence_says_what_is_known(matrix):
    with pytest.raises(BenchError, match=r"draft.toml: cell 'white-box/wide-stripes': attack 'stripes' is unknown\."):
        load_matrix(matrix)


@pytest.mark.slow
def test_a_cell_of_a_plug_in_runs_in_workers_and_is_shown_as_unofficial(
    striped, matrix, project, monkeypatch, capsys, tmp_path
):
    ask = partial(bench, project, monkeypatch, capsys)
    results, site = tmp_path / "results", tmp_path / "site-built"
    asked = ("evaluate", "natural", "-d", "synthetic_cxr", "-t", "white-box", "--limit", 2, "--workers", 2)
    code, _, err = ask(*asked, "--matrix", matrix, "--results", results, "--no-site")
    assert code == 0, err
    rows = read_table(results / "synthetic_cxr" / "natural" / "white-box.parquet").to_pandas()
    assert set(rows.attack) == {"wide-stripes"}
    assert set(rows.status) == {"ok"}
    assert not rows.official.any()
    assert set(rows.made_by) == {code_hash(*code_of("white-box"), "striped_attacks:Stripes")[:16]}

    code, out, err = ask("report", "--results", results, "--json")
    assert code == 0, err
    told = [record for record in json.loads(out) if record["attack"] == "wide-stripes"]
    assert told
    assert not any(record["official"] for record in told)

    code, _, err = ask("site", "--results", results, "--out", site)
    assert code == 0, err
    pages = {path: path.read_text() for path in site.rglob("*natural*.html")}
    assert any("wide-stripes" in text and "unofficial" in text for text in pages.values()), list(pages)


def test_the_code_of_a_cell_is_the_plug_in_s_own_modules(striped):
    def fresh():
        for cached in (code_hash, made_by._file_of, made_by._content, made_by._imports):
            cached.cache_clear()
        return code_hash("striped_attacks:Stripes")

    before = fresh()
    (striped / "unused.py").write_text("x = 1\n")
    assert fresh() == before
    patterns = striped / "patterns.py"
    patterns.write_text(patterns.read_text() + "\nx = 1\n")
    assert fresh() != before


def test_a_name_of_the_benchmark_s_own_cannot_be_taken(place):
    install(place, "greedy-attacks", pgd="striped_attacks:Stripes")
    with pytest.raises(BenchError, match="plug-in 'greedy-attacks' calls an attack 'pgd', which is one of the bench"):
        build("pgd", {})
    assert build("fgsm", {}).norm == "linf"


def test_two_plug_ins_cannot_share_a_name(striped, place):
    install(place, "other-stripes", stripes="striped_attacks:Stripes")
    with pytest.raises(BenchError, match="'stripes' is claimed by 2 entry points of other-stripes and striped-attacks"):
        build("stripes", {})


SOUND = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Odd:
    knowledge = "gradient"
    norm = "linf"

    def __call__(self, view, goal, images, eps_255, draw):
        return images
"""


def test_the_sound_one_of_the_broken_ones_builds(broken):
    broken(SOUND)
    assert build("odd", {}).knowledge == "gradient"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("from dataclasses import dataclass", "import no_such_module", "cannot be loaded .*No module named 'no_such"),
        ("class Odd", "class Even", "cannot be loaded .*has no attribute 'Odd'"),
        ("from dataclasses import dataclass", "raise SystemExit(3)", "cannot be loaded .*SystemExit: 3"),
        ("@dataclass(frozen=True)", "", "is no dataclass"),
        ('"gradient"', '"everything"', "has knowledge 'everything' instead of one of gradient, features"),
        ('"linf"', '"l3"', "has norm 'l3' instead of one of linf, l2, l0"),
        ('"gradient"', '"training"', "has no method fit or apply"),
    ],
)
def test_a_broken_plug_in_is_named_with_what_is_wrong(broken, old, new, told):
    broken(SOUND.replace(old, new))
    with pytest.raises(BenchError, match=f"attack 'odd' of plug-in 'broken-attacks'.* {told}"):
        build("odd", {})


def test_a_broken_plug_in_stops_nobody_who_does_not_use_it(broken):
    broken("raise RuntimeError")
    load_matrix(MATRIX_FILE)
    assert build("pgd", {}).norm == "linf"
