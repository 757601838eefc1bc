"""The views through which attacks see a target: the threat model as types."""

from benchmark.access.views import (
    Evaluation,
    GradientView,
    QueryBudgetExceeded,
    ScoreView,
    adaptive,
    black_box,
    no_box,
    white_box,
)

__all__ = [
    "Evaluation",
    "GradientView",
    "QueryBudgetExceeded",
    "ScoreView",
    "adaptive",
    "black_box",
    "no_box",
    "white_box",
]
