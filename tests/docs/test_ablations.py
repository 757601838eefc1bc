"""The repeated ablations: differences and verdicts on toy predictions, and what the document must say."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch

from benchmark import __version__
from benchmark.data.split import Split
from benchmark.defense.stages import Jpeg
from benchmark.training.methods import METHODS
from benchmark.training.recipe import TABLES

# docs is no package that is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))

from ablation_sections import SECTIONS, memory, tables
from ablation_sections.bench import ATTACKERS, AWARE, BLIND, CLEAN, DATASET, ENTRIES, ROOT, Bench
from ablation_sections.columns import ATTACKS
from ablation_sections.document import DOCUMENT
from ablation_sections.keep import kept
from ablation_sections.memory import added_memory
from ablation_sections.metric import quarters
from ablation_sections.tables import HOLLOW, Claim, by_class, hollow
from ablation_sections.training import recipe_of
from ablation_sections.verdicts import VERDICTS, contrast, costlier, kept_against_rest, wrong_and_below

TEXT = DOCUMENT.read_text("utf-8")
BARE = ("no noise", "none")
BETTER, WORSE = [1] * 90 + [0] * 10, [1] * 60 + [0] * 40


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n")[1].split("\n## ")[0]


def rows_of(text: str) -> list[dict[str, str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def split_of(labels: list[int]) -> Split:
    ids = tuple(map(str, range(len(labels))))
    return Split("toy", "test", torch.zeros(len(labels), 1, 2, 2), torch.tensor(labels), ids, ids, ("a", "b"))


def predictions(right: list[int]) -> dict[str, dict[str, list[int]]]:
    return {attacker: {"right": right, "abstained": [0] * len(right)} for attacker in ATTACKERS}


def test_a_clear_difference_confirms_one_order_and_refutes_the_other():
    found = contrast(BETTER, WORSE)
    assert found.value == pytest.approx(30)
    assert found.low < 30 < found.high
    assert found.verdict == "confirmed"
    assert contrast(WORSE, BETTER).verdict == "refuted"


@pytest.mark.parametrize("count", [24, 128])
def test_without_any_difference_tangos_interval_is_what_the_score_test_gives_in_closed_form(count):
    found = contrast([1] * count, [1] * count)
    reach = 100 * 1.96**2 / (count + 1.96**2)
    assert (found.value, found.verdict) == (0, "no significant difference")
    assert (found.low, found.high) == pytest.approx((-reach, reach), abs=0.02)


@pytest.mark.parametrize(("gained", "lost"), [(3, 0), (9, 2), (12, 3), (20, 20)])
def test_tangos_interval_leaves_zero_out_exactly_where_mcnemars_statistic_is_large(gained, lost):
    same = [1] * (128 - gained - lost)
    found = contrast([1] * gained + [0] * lost + same, [0] * gained + [1] * lost + same)
    assert (found.verdict == "confirmed") == ((gained - lost) ** 2 / (gained + lost) > 1.96**2)


def test_a_loss_within_the_slack_is_no_loss():
    assert contrast(BETTER, BETTER, slack=5).verdict == "confirmed"
    assert contrast(WORSE, BETTER, slack=10).verdict == "refuted"


def test_kept_images_are_compared_with_the_others():
    above = [True] * 50 + [False] * 50
    found = kept_against_rest(BETTER, above)
    assert found.value == pytest.approx(100 - 80)
    assert found.verdict == "confirmed"
    assert kept_against_rest(BETTER, [True] * 100) is None


def test_three_images_are_no_evidence_whatever_the_predictions():
    assert kept_against_rest(BETTER + [1] * 3, [True] * 100 + [False] * 3).verdict == "no significant difference"


def test_the_share_of_incorrect_predictions_below_the_threshold_is_compared_with_one_half():
    found = wrong_and_below(BETTER, [True] * 90 + [False] * 9 + [True])
    assert found.value == pytest.approx(90)
    assert found.verdict == "confirmed"
    assert wrong_and_below([1] * 100, [True] * 100) is None


def test_quarters_come_in_the_order_of_the_papers_table():
    right, above = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [True, True, True, True, False, False, False, True, True, False]
    assert quarters(right, above) == (40, 0, 40, 20)


def test_a_defense_that_predicts_one_class_is_marked():
    split = split_of([1] * 60 + [0] * 40)
    assert by_class(predictions(WORSE), CLEAN, split) == [0, 100]
    assert hollow(predictions(WORSE), split)
    assert not hollow(predictions(BETTER), split)
    claim = Claim("order", "none", (("a", "b"),), (CLEAN,))
    line = tables.tested(claim, {"toy": {"a": predictions(WORSE), "b": predictions(BETTER)}}, split)
    assert f"**refuted** ({HOLLOW} -30.0" in line


def test_the_lines_of_a_claim_name_condition_verdict_and_figures():
    claim = Claim("that a is above b", "Table 0: 1 against 0", (("a", "b"),), (CLEAN,))
    line = tables.tested(claim, {"toy": {"a": predictions(BETTER), "b": predictions(WORSE)}}, split_of([0, 1] * 50))
    assert line.startswith("- The paper claims that a is above b (Table 0: 1 against 0). Here:\n  - toy, clean: ")
    assert "**confirmed** (+30.0 [" in line


def test_pairs_are_named_by_the_defense_in_which_they_differ():
    claim = Claim("order", "none", (("a", "b"), ("a", "c")), (CLEAN,))
    rows = {"a": predictions(BETTER), "b": predictions(WORSE), "c": predictions(BETTER)}
    line = tables.tested(claim, {"toy": rows}, split_of([0, 1] * 50))
    assert "**confirmed** (vs. b +30.0" in line
    assert "**no significant difference** (vs. c +0.0" in line


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [([3, 4], [1, 2], "confirmed"), ([1, 2], [3, 4], "refuted"), ([1, 3], [2, 4], "no significant difference")],
)
def test_costs_are_ordered_by_their_whole_ranges(first, second, verdict):
    assert costlier(first, second) == verdict


@pytest.mark.parametrize("method", METHODS)
def test_every_method_ships_a_recipe_whose_files_exist(method):
    recipe = recipe_of(method, 3)
    assert (recipe.method, recipe.seed, recipe.epochs) == (method, 3, 2)
    assert (recipe.adversary is not None) == ("adversary" in TABLES[method][0])
    for stored in (recipe.helper, recipe.teacher, *(recipe.surrogates or [])):
        if stored is not None:
            path = ROOT.submissions / method / stored.weights.format(dataset=DATASET)
            assert path.is_file()


@pytest.mark.skipif(not memory.RESET.exists(), reason="the high-water mark can only be set back on Linux")
def test_each_call_is_charged_its_own_peak_even_below_an_earlier_one():
    added = [added_memory(lambda size=size: np.ones(size * 2**17).sum()) for size in (64, 256, 64, 0)]
    assert added == pytest.approx([64, 256, 64, 0], abs=8)


@pytest.mark.slow
def test_without_the_mark_the_growth_of_the_largest_memory_counts(tmp_path):
    """In a process of its own: what earlier tests freed lies about in this one, resident or not as it happens.

    A shell starts it, because a process inherits the mark of the memory that it was started from.
    """
    pytest.importorskip("resource")
    code = f"""
    import numpy as np
    from pathlib import Path
    from ablation_sections import memory

    memory.RESET = Path({str(tmp_path / "clear_refs")!r})
    for size in (2**24, 2**20):
        print(memory.added_memory(lambda: np.ones(size).sum()))
    """
    found = subprocess.run(
        ["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, dedent(code)],
        env=os.environ | {"PYTHONPATH": str(Path(memory.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = map(float, found.stdout.split())
    assert first > 64
    assert 0 <= second < 1


def test_what_is_kept_is_not_run_again_unless_asked(tmp_path):
    path, runs = tmp_path / "deep" / "noise.json", []
    for fresh in (False, False, True):
        result = kept(path, fresh, lambda: runs.append(1) or {"a": [1.5]})
        assert (result["found"], result["version"]) == ({"a": [1.5]}, __version__)
    assert len(runs) == 2


def test_the_adaptive_attack_breaks_every_image_that_the_non_adaptive_one_breaks(data_dir):
    del data_dir
    bench = Bench(8)
    found = bench.measured("natural", bench.defense("natural", [Jpeg(70)]))
    right = {attacker: found[attacker]["right"] for attacker in ATTACKERS}
    assert len(right[CLEAN]) == 8
    assert all(aware <= blind for aware, blind in zip(right[AWARE], right[BLIND], strict=True))
    assert sum(right[AWARE]) < sum(right[CLEAN])


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_begins_with_a_claim_and_its_verdict(name):
    text = section(SECTIONS[name].title)
    claim = text.index("- The paper claims ")
    assert claim < text.index("| ")
    assert any(f"**{verdict}**" in text for verdict in VERDICTS)


@pytest.mark.parametrize(
    "name", [name for name in SECTIONS if name not in ("metric", "copies", "deployed", "columns", "training")]
)
def test_the_adaptive_attack_is_weaker_in_no_row(name):
    rows = rows_of(section(SECTIONS[name].title))
    assert rows
    for row in rows:
        assert float(row["adaptive"]) <= float(row["non-adaptive"])


def test_each_of_the_papers_other_attacks_lowers_the_accuracy_of_the_bare_classifier():
    rows = [row for row in rows_of(section(SECTIONS["columns"].title)) if (row["noise"], row["denoiser"]) == BARE]
    assert [row["classifier"] for row in rows] == list(ENTRIES)
    for row in rows:
        assert all(float(row[name].split()[0]) < float(row["clean"]) for name in ATTACKS)


def test_the_table_of_costs_has_every_method():
    rows = rows_of(section(SECTIONS["training"].title))
    assert [row["method"] for row in rows] == list(METHODS)
    assert float(rows[0]["peak memory added, ratio to natural"]) == pytest.approx(1, abs=0.1)
    assert all(float(row["MiB"]) > 0 for row in rows)


@pytest.mark.slow
def test_without_the_data_set_the_script_says_so_in_one_sentence(tmp_path):
    run = subprocess.run(
        [sys.executable, str(ROOT.path / "docs" / "ablations.py"), "--section", "cushion"],
        env=os.environ | {"BENCH_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("data set 'pneumoniamnist' needs pneumoniamnist.npz")
    assert run.stderr.count("\n") == 1
