"""Training methods by the names that recipes use."""

from benchmark.training.methods.base import Examples, FirstStage, Method, MethodContext
from benchmark.training.methods.distillation import DefensiveDistillation, RobustDistillation
from benchmark.training.methods.friendly import FriendlyAt, IncreasingMargin
from benchmark.training.methods.plain import EnsembleAt, MultiPerturbations, Natural, PgdAt
from benchmark.training.methods.semi_supervised import SemiSupervised
from benchmark.training.methods.trades import Hat, Mart, MisclassificationAware, Trades

METHODS: dict[str, type[Method]] = {
    "natural": Natural,
    "pgd_at": PgdAt,
    "trades": Trades,
    "mart": Mart,
    "hat": Hat,
    "mpadvt": MultiPerturbations,
    "maadvt": MisclassificationAware,
    "fat": FriendlyAt,
    "ima": IncreasingMargin,
    "ssat": SemiSupervised,
    "ensemble_at": EnsembleAt,
    "ard": RobustDistillation,
    "defensive_distillation": DefensiveDistillation,
}

__all__ = ["METHODS", "Examples", "FirstStage", "Method", "MethodContext", "build_method"]


def build_method(context: MethodContext) -> Method:
    """Build the method of a recipe.

    Raises:
        BenchError: a weight file that the recipe names is missing or does not fit.
    """
    return METHODS[context.recipe.method](context)
