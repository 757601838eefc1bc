"""A budget that makes no sense in its norm is refused wherever one is given."""

from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.matrix.budgets import wrong_budget
from benchmark.matrix.model import MATRIX_FILE, load_matrix

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [0.1, 1 / 3, 8.0, 255.0])
def test_radii_from_a_tenth_of_a_grey_level_to_the_whole_range_are_budgets(norm: str, eps: float) -> None:
    assert wrong_budget(norm, eps) == ""


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [0.0, -0.0, -8.0, 0.03, 8 / 255, 255.1, 1e300, INF, -INF, NAN])
def test_other_radii_are_none(norm: str, eps: float) -> None:
    assert "stated in 1/255" in wrong_budget(norm, eps)


@pytest.mark.parametrize("eps", [1.0, 16.0, 784.0])
def test_whole_numbers_of_pixels_up_to_the_images_are_budgets(eps: float) -> None:
    assert wrong_budget("l0", eps, 784) == ""


@pytest.mark.parametrize("eps", [0.0, -1.0, 0.5, 1.5, 785.0, INF, -INF, NAN])
def test_other_numbers_of_pixels_are_none(eps: float) -> None:
    assert wrong_budget("l0", eps, 784).endswith("give a whole number from 1 to 784, the pixels of an image")


def test_a_norm_without_budgets_is_named() -> None:
    assert "take one of linf, l2, l0" in wrong_budget("l1", 8.0)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("eps_255 = [1, 2, 4, 8]", "eps_255 = [nan, 8]", r"cell 'no-box/pgd-20': nan is no L-inf budget"),
        ("eps_255 = [1, 2, 4, 8]", "eps_255 = [8, inf]", "inf is no L-inf budget"),
        ("eps_255 = [1, 2, 4, 8]", "eps_255 = [0.03, 8]", "so 8 means 8/255"),
        ("eps_255 = [1, 2, 4, 8]", "eps_255 = [8, 4]", "must be ascending"),
        ("eps_255 = [1, 4, 16]", "eps_255 = [0.5]", "0.5 is no L0 budget"),
        ("eps_255 = [1, 2, 4]\n", "eps_255 = [nan]\n", "nan is no L2 budget"),
        ("eps_255 = [2, 8]", "eps_255 = [nan]", "a profile's eps_255: nan is no L-inf budget"),
        ("eps_255 = [2, 8]", "eps_255 = []", "eps_255"),
        ("severities = [1, 3, 5]", "severities = [6]", "severities"),
        ("severities = [1, 2, 3, 4, 5]", "severities = []", "severities"),
    ],
)
def test_a_matrix_with_such_a_budget_is_refused(old: str, new: str, told: str, tmp_path: Path) -> None:
    text = MATRIX_FILE.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "draft.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BenchError, match=told) as caught:
        load_matrix(tmp_path / "draft.toml")
    assert "\n" not in str(caught.value)
