"""Training recipes and the loop that follows them."""

from benchmark.training.recipe import Recipe, find_recipes, read_recipe, resolve
from benchmark.training.train import TrainingReport, train

__all__ = ["Recipe", "TrainingReport", "find_recipes", "read_recipe", "resolve", "train"]
