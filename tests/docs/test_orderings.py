"""Orders of defenses in print and in the official rows: how both are counted, and that the document is up to date."""

import importlib.util
import sys
from pathlib import Path

import pytest

from benchmark.root import find_root
from leaderboard.paired import Difference
from leaderboard.published import read_published
from leaderboard.rows import read_rows

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "orderings.py"
spec = importlib.util.spec_from_file_location("orderings", SCRIPT)
orderings = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(orderings)


@pytest.mark.parametrize(
    ("higher", "lower", "printed"),
    [
        ("mpadvt", "pgd_at", {"Survey"}),
        ("comdefend", "random_rp", {"MedRDF"}),
    ],
)
def test_orders_in_print_are_counted_over_experiments_that_print_both(higher, lower, printed):
    numbers = [one for one in read_published() if one.source in printed]
    above, below, both = orderings.in_print(numbers, higher, lower)
    assert both > 0
    assert above == both
    assert below == 0
    assert orderings.in_print(numbers, lower, higher) == (0, both, both)
    assert orderings.in_print([one for one in numbers if one.source not in printed], higher, lower) == (0, 0, 0)


def test_a_row_says_confirmed_refuted_or_not_told_apart():
    told = [
        Difference("films", "clean", 0.9, 0.9, -0.01, 0.01, 100),
        Difference("films", "white-box", 0.7, 0.5, 0.1, 0.3, 50),
        Difference("films", "all", 0.1, 0.5, -0.5, -0.3, 50),
    ]
    row = orderings.line("one", "other", (2, 1, 4), told)
    assert row == (
        "| one above other | 2 of 4, below in 1 | films | 90.0 and 90.0: +0.0 [-1.0, +1.0] | "
        "**confirmed** (70.0 and 50.0: +20.0 [+10.0, +30.0]) | **refuted** (10.0 and 50.0: -40.0 [-50.0, -30.0]) |"
    )


def test_rows_with_gaps_give_no_verdict():
    row = orderings.line("one", "other", (0, 0, 0), [Difference("films", "clean", 0.9, 0.9, -0.01, 0.01, 100)])
    assert row.endswith("| no complete rows | no complete rows |")
    assert "| not printed |" in row


def test_every_claim_is_about_two_entries():
    shipped = {path.name for path in find_root().submissions.iterdir()}
    assert {name for claim in orderings.CLAIMS for name in claim} <= shipped


def test_the_document_is_that_of_the_official_rows():
    fresh = orderings.document(read_rows([find_root().official_results]))
    assert orderings.DOCUMENT.read_text("utf-8") == fresh, (
        "official rows changed: run 'python docs/orderings.py --write'"
    )
