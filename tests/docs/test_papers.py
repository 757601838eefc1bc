"""Figures of papers in the ablations: looked up in the table of published numbers, exactly one each."""

import sys
from pathlib import Path

import pytest

# docs is no package that is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))

from ablation_sections.copies import MEDRDF_II
from ablation_sections.cushion import AEGIS_5
from ablation_sections.noise import medrdf
from ablation_sections.papers import COVID, DERMA, PGD20, printed


def test_a_share_is_returned_in_percent_and_a_time_unchanged():
    place = {"dataset": "COVID-19 Radiography", "model": "ResNet-18", "defense": "trades"}
    assert printed("MedRDF", "XI", metric="training_time", **place) == 1.97
    assert printed("MedRDF", "III", dataset="DermaMNIST", model="ResNet-18", defense="median_filter", **PGD20) == 15.1


@pytest.mark.parametrize(("model", "count"), [("ResNet-18", 2), ("ResNet-19", 0)])
def test_several_numbers_and_none_are_refused(model, count):
    with pytest.raises(LookupError, match=f"Table III has {count} numbers"):
        printed("MedRDF", "III", model=model, defense="median_filter", **PGD20)


def test_the_figures_beside_ours_are_those_that_the_papers_print():
    assert [medrdf("III", "salt and pepper, MF", dataset) for dataset in (COVID, DERMA)] == [[91.2, 90.2], [69.0, 65.1]]
    assert medrdf("IV", "no noise, none", COVID)[0] == 92.6
    assert medrdf("V", "no noise, none", COVID)[0] == 93.4
    assert MEDRDF_II[10000] == [[91.2, 93.2, 3.8], [69.0, 67.3, 1.1]]
    assert AEGIS_5["last 4 bits cleared"] == [96.8, 100.0]
