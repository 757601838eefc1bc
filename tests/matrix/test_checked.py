"""A matrix file with a cell that cannot run as it is written is refused before anything runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.matrix.checked import check_matrix
from benchmark.matrix.model import MATRIX_FILE, Matrix, load_matrix

PROJECT = Path(__file__).resolve().parents[2]
HEAD = """
version = "draft"
chunk = 8
[corruption]
mode = "paper"
severities = [1]
images = 3
source = "test"
[profile.official]
official = true
judge_draws = 3
eot_samples = 3
[profile.quick]
official = false
judge_draws = 3
eot_samples = 3
eps_255 = [8]
caps = { steps = 2 }
"""
CELL = """
[[cell]]
track = "white-box"
name = "one"
method = "pgd"
eps_255 = [1, 8]
cost = "cheap"
params = { steps = 3 }
knowledge = "test"
objective = "test"
source = "test"
"""
SQUARE = CELL.replace('"pgd"', '"square"').replace("{ steps = 3 }", "{ queries = 50 }")
Draft = Callable[..., Matrix]


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    """Return a function that loads a matrix of some cells, whose text may be changed by pairs (old, new)."""

    def load(text: str, *changes: tuple[str, str]) -> Matrix:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / "draft.toml").write_text(text, encoding="utf-8")
        return load_matrix(tmp_path / "draft.toml")[0]

    return load


def test_the_matrix_in_force_can_run_as_it_is_written_and_not_with_another_method() -> None:
    matrix = load_matrix()[0]
    check_matrix(matrix)
    for cell in matrix.cell:
        with pytest.raises(BenchError, match="no_such_method"):
            check_matrix(matrix.model_copy(update={"cell": [cell.model_copy(update={"method": "no_such_method"})]}))


def test_a_copy_of_the_matrix_in_force_is_accepted_as_the_same(draft: Draft) -> None:
    assert draft(MATRIX_FILE.read_text(encoding="utf-8")) == load_matrix()[0]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"pgd"', '"pdg"', "attack 'pdg' is unknown. Did you mean 'pgd'?"),
        (
            "eps_255 = [1, 8]\n",
            'eps_255 = [1, 8]\nnorm = "l2"\n',
            "norm is 'l2' but attack 'pgd' works in 'linf'; .*pgd-l2",
        ),
        ("steps = 3", "step = 3", "attack 'pgd' has no parameter 'step'. Did you mean 'steps'?"),
        ("steps = 3", "steps = 2.5", "parameter 'steps' of attack 'pgd' is 2.5; give a whole number"),
        ("steps = 3", "steps = true", "parameter 'steps' of attack 'pgd' is True; give a whole number"),
        ("steps = 3", 'steps = "3"', "parameter 'steps' of attack 'pgd' is '3'; give a whole number"),
        ("steps = 3", "alpha_255 = nan", "parameter 'alpha_255' of attack 'pgd' is nan; give a finite number"),
        ("steps = 3", "random_start = 1", "give true or false"),
        ("steps = 3", "loss = 1", "give text"),
        ("steps = 3", "steps = 0", "steps is 0"),
        ("steps = 3", 'loss = "margins"', "Did you mean 'margin'?"),
        ("steps = 3 }", "steps = 3 }\nstochastic = { step = 1 }", "has no parameter 'step'"),
        ("steps = 3 }", 'steps = 3 }\nwhen = "deterministic"\nstochastic = { steps = 1 }', "when is 'deterministic'"),
        (
            '"white-box"',
            '"black-box"',
            "needs gradients, but track 'black-box' gives scores, labels, the system's answers on training images; ",
        ),
        ('"white-box"', '"gray-box"', "needs gradients, but track 'gray-box' gives a fit on training images"),
        ("steps = 3 }", 'steps = 3 }\nbackward = "identity"', "backward = 'identity' is for adaptive attacks"),
        ("steps = 3 }", 'steps = 3 }\nsurrogate = "vgg"', "surrogate is for the no-box track"),
        ('name = "one"', 'name = "a/b"', "name"),
        ('name = "one"', 'name = "worst-case"', "take another name"),
        ('version = "draft"', 'version = "1/../x"', "version"),
        ('version = "draft"', 'version = ""', "version"),
        ("eps_255 = [1, 8]", 'eps_255 = [1, "8"]', r"cell.0.eps_255.1.* \(given: '8'\)"),
        ("eps_255 = [1, 8]", "eps_255 = [true, 8]", "cell.0.eps_255.0"),
        ("eps_255 = [8]", 'eps_255 = ["8"]', "profile.quick.eps_255.0"),
        ("severities = [1]", 'severities = ["1"]', "corruption.severities.0"),
        ("judge_draws = 3", 'judge_draws = "3"', "profile.official.judge_draws"),
        ("caps = { steps = 2 }", "caps = { step = 2 }", "profile 'quick': no attack has the parameter 'step'"),
        ("eps_255 = [8]", "eps_255 = [3]", "no L-inf cell has one of its eps_255, 3"),
    ],
)
def test_a_cell_that_its_attack_cannot_run_is_refused(draft: Draft, old: str, new: str, told: str) -> None:
    with pytest.raises(BenchError, match=told) as caught:
        draft(HEAD + CELL, (old, new))
    assert "draft.toml: " in str(caught.value)
    assert str(caught.value).endswith((".", "?"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "track", "needs"),
    [
        ("square", "no-box", "scores"),
        ("square", "gray-box", "scores"),
        ("rays", "no-box", "labels"),
        ("uap", "no-box", "a fit on training images"),
        ("uap", "black-box", "a fit on training images"),
        ("fea", "no-box", "features of training images"),
        ("stress", "gray-box", "features of inner layers"),
    ],
)
def test_an_attack_is_refused_where_the_track_does_not_give_what_it_needs(
    draft: Draft, method: str, track: str, needs: str
) -> None:
    params = "{ queries = 50 }" if needs in ("scores", "labels") else "{}"
    changes = ('"pgd"', f'"{method}"'), ("{ steps = 3 }", params), ('"white-box"', f'"{track}"')
    with pytest.raises(BenchError, match=f"attack '{method}' needs {needs}, but track '{track}' gives"):
        draft(HEAD + CELL, *changes)


def test_an_attack_that_asks_queries_needs_their_number(draft: Draft) -> None:
    draft(HEAD + SQUARE)
    with pytest.raises(BenchError, match="give it the parameter queries"):
        draft(HEAD + SQUARE, ("{ queries = 50 }", "{}"))


def test_an_attack_of_several_norms_is_told_the_same_as_its_cell(draft: Draft) -> None:
    walk = CELL.replace('"pgd"', '"hopskipjump"').replace("white-box", "black-box")
    draft(HEAD + walk, ("{ steps = 3 }", '{ queries = 50, norm = "l2" }'), ("[1, 8]\n", '[1, 8]\nnorm = "l2"\n'))
    with pytest.raises(BenchError, match="norm is 'linf' but its attack's parameter norm is 'l2'; make them equal"):
        draft(HEAD + walk, ("{ steps = 3 }", '{ queries = 50, norm = "l2" }'))


def test_two_names_for_one_attack_are_refused(draft: Draft) -> None:
    draft(HEAD + CELL + CELL, ('name = "one"', 'name = "two"'), ("steps = 3", "steps = 4"))
    with pytest.raises(BenchError, match="cells 'two' and 'one' of track 'white-box' are the same attack"):
        draft(HEAD + CELL + CELL, ('name = "one"', 'name = "two"'))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("queries = 50", "queries = 60", "field 'params' differs"),
        ("eps_255 = [1, 8]", "eps_255 = [8]", "does not run at all of its budgets"),
        ('cost = "cheap"', 'cost = "cheap"\nwhen = "stochastic"', "does not run at all of its budgets"),
        ('cost = "cheap"', 'cost = "cheap"\ninformative = true', "field 'unranked' differs"),
        ('"black-box"', '"adaptive"', "only white-box and adaptive cells can be that of a black-box cell"),
    ],
)
def test_a_cell_takes_its_rows_only_from_one_that_makes_the_same(draft: Draft, old: str, new: str, told: str) -> None:
    shared = SQUARE.replace("white-box", "black-box")
    twin = SQUARE.replace("eps_255", f'same_as = "{"adaptive" if "adaptive" in new else "black-box"}/one"\neps_255')
    draft(HEAD + shared + SQUARE.replace("eps_255", 'same_as = "black-box/one"\neps_255'))
    with pytest.raises(BenchError, match=told):
        draft(HEAD + shared + twin, (old, new))
