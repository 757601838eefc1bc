"""The recipe of a first stage."""

from benchmark.randomness import content_seed
from benchmark.training.recipe import TABLES, Recipe


def first_recipe(recipe: Recipe, epochs: int) -> Recipe:
    """The same network and batches trained naturally, with a seed of their own, over ``epochs`` epochs."""
    tables = {table for needs, takes in TABLES.values() for table in needs | takes} | {"awp", "validation", "ema"}
    seed = content_seed("first", recipe.seed) % 2**31
    return recipe.model_copy(update={"method": "natural", "epochs": epochs, "seed": seed, **dict.fromkeys(tables)})
