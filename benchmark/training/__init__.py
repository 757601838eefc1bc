"""Training recipes, the methods they name, and the loop that follows them."""

from benchmark.training.log import Epoch
from benchmark.training.recipe import Recipe, find_recipes, read_recipe, resolve
from benchmark.training.train import TrainingReport, train

__all__ = ["Epoch", "Recipe", "TrainingReport", "find_recipes", "read_recipe", "resolve", "train"]
