"""The views through which attacks see a target: the threat model as types."""

from benchmark.access.answers import AnswersView
from benchmark.access.features import FeatureView, adaptive
from benchmark.access.labels import LabelView, black_box_labels
from benchmark.access.references import References
from benchmark.access.training import TrainingView, gray_box
from benchmark.access.views import (
    Evaluation,
    GradientView,
    QueryBudgetExceeded,
    QueryView,
    ScoreView,
    black_box,
    no_box,
    white_box,
)

__all__ = [
    "AnswersView",
    "Evaluation",
    "FeatureView",
    "GradientView",
    "LabelView",
    "QueryBudgetExceeded",
    "QueryView",
    "References",
    "ScoreView",
    "TrainingView",
    "adaptive",
    "black_box",
    "black_box_labels",
    "gray_box",
    "no_box",
    "white_box",
]
