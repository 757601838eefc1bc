"""Survey, Table 15, and MedRDF, Table XI: the cost of training."""

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

from ablation_sections.bench import DATASET, ROOT, Bench, Json
from ablation_sections.memory import added_memory, map_blocks
from ablation_sections.papers import COVID, printed
from ablation_sections.section import Section
from ablation_sections.tables import table
from ablation_sections.verdicts import costlier
from benchmark.data.official import stratified_ids
from benchmark.data.registry import find_card, load_split
from benchmark.data.split import Split
from benchmark.training import Recipe, read_recipe, train
from benchmark.training.methods import METHODS
from benchmark.training.recipe import TABLES

TRAINED = 1024
ROUNDS = 3
SURVEY_15 = {
    method: [
        printed("Survey", "15", dataset=dataset, model="ResNet-18", defense=method, metric="training_time_per_epoch")
        for dataset in ("Messidor", "ISIC2017")
    ]
    for method in ("pgd_at", "trades", "mart", "mpadvt", "hat", "natural")
}
NATURAL = SURVEY_15.pop("natural")
"""Survey, Table 15 (ResNet-18, one A100): seconds per epoch on Messidor and ISIC; ``NATURAL``: natural training's."""
MEDRDF_XI = {
    method: printed("MedRDF", "XI", dataset=COVID, model="ResNet-18", defense=name, metric="training_time")
    for method, name in {"natural": "medrdf_sp_mf", "pgd_at": "pgd_at", "trades": "trades", "mart": "mart"}.items()
}
"""MedRDF, Table XI (ResNet-18, COVID-19): training time in hours; MedRDF itself is naturally trained."""
SEVERAL = 2.0
"""The factor that tests "several times"."""


def recipe_of(method: str, seed: int) -> Recipe:
    """The shipped recipe of a method for PneumoniaMNIST, cut to two epochs."""
    shipped = read_recipe(ROOT.submissions / method / "recipe.toml")
    return Recipe.model_validate(shipped.model_dump(exclude_none=True) | {"seed": seed, "epochs": 2})


def second_epoch(recipe: Recipe, training: Split, validation: Split) -> float:
    """Processor seconds of the second epoch of the method's own stage; the first epoch is a warm-up."""
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            recipe,
            find_card(DATASET, ROOT),
            (training, validation),
            Path(folder) / "weights.safetensors",
            lambda _: marks.append(time.process_time()),
            beside=ROOT.submissions / recipe.method,
        )
    return marks[-1] - marks[-2]


Pairs = list[tuple[float, float]]
"""Cost of a method and of natural training, by round."""


def _in_turn(method: str, measure: Callable[[Recipe], float]) -> Pairs:
    return [(measure(recipe_of(method, number)), measure(recipe_of("natural", number))) for number in range(ROUNDS)]


def epochs(method: str, training: Split, validation: Split) -> Pairs:
    """Processor seconds of an epoch."""
    return _in_turn(method, lambda recipe: second_epoch(recipe, training, validation))


def memory(method: str, training: Split, validation: Split) -> Pairs:
    """MiB that a whole training adds to this process at its peak, after a first training for set-up."""
    map_blocks()
    for name in (method, "natural"):
        second_epoch(recipe_of(name, 0), training, validation)
    return _in_turn(method, lambda recipe: added_memory(partial(second_epoch, recipe, training, validation)))


def run_training(bench: Bench) -> Json:
    """Each measurement has its own process, because memory left by another one would change it."""
    splits = []
    for name, count in (("train", TRAINED), ("val", 16)):
        split = load_split(bench.card, name, ROOT)
        splits.append(split.by_ids(stratified_ids(split, count, [])))
    found: Json = {method: {} for method in METHODS}
    for method in METHODS:
        for kind, measure in (("seconds", epochs), ("added", memory)):
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                found[method][kind] = pool.submit(measure, method, *splits).result()
    return found


def tell_training(found: Json, split: Split) -> str:
    """Claims and table."""
    del split
    ratios = {method: [own / base for own, base in row["seconds"]] for method, row in found.items()}
    middle = {method: statistics.median(values) for method, values in ratios.items()}
    survey = {
        method: [value / own for value, own in zip(row, NATURAL, strict=True)] for method, row in SURVEY_15.items()
    }
    by_verdict: dict[str, list[str]] = {}
    for method, values in ratios.items():
        if "adversary" in TABLES[method][0]:
            by_verdict.setdefault(costlier(values, [SEVERAL]), []).append(f"{method}: {middle[method]:.1f}")
    lines = [
        f"- The paper claims that adversarial training takes several times as long as natural training, tested as more "
        f"than {SEVERAL:g} times (Table 15: at least {min(map(min, survey.values())):.1f} times). Here: "
        + ", ".join(f"**{verdict}** ({'; '.join(names)})" for verdict, names in by_verdict.items())
    ]
    order = sorted(SURVEY_15, key=lambda method: SURVEY_15[method][0], reverse=True)
    parts = [
        f"{one} above {other}: **{costlier(ratios[one], ratios[other])}** ({middle[one]:.1f} and {middle[other]:.1f})"
        for one, other in pairwise(order)
    ]
    lines.append(
        f"- The paper's order of cost, highest first, is {', '.join(order)} (Table 15). Here: {'; '.join(parts)}."
    )
    drawn, usual = _steps_of_mpadvt()
    lines.append(
        f"- mpadvt takes fewer inner steps than pgd_at: its recipe leaves some batches clean and draws the number of "
        f"steps of the others, on average {drawn:g} per batch; pgd_at takes {usual}."
    )
    rows = [
        [
            method,
            f"{middle[method]:.2f}",
            _range(ratios[method]),
            f"{statistics.median(own for own, _ in row['seconds']):.2f}",
            f"{statistics.median(own / base for own, base in row['added']):.2f}",
            _range([own / base for own, base in row["added"]]),
            f"{statistics.median(own for own, _ in row['added']):.0f}",
            ", ".join(f"{value:.2f}" for value in survey.get(method, ())),
            f"{MEDRDF_XI[method] / MEDRDF_XI['natural']:.2f}" if method in MEDRDF_XI else "",
        ]
        for method, row in found.items()
    ]
    header = ("method", "time, ratio to natural", "range", "s per epoch")
    peaks = ("peak memory added, ratio to natural", "range, memory", "MiB")
    papers = ("survey, time: Messidor, ISIC", "MedRDF, time: COVID-19")
    return "\n".join([*lines, "", table((*header, *peaks, *papers), rows)])


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def _steps_of_mpadvt() -> tuple[float, int]:
    """Inner steps per batch: expected with MPAdvT's recipe, and with PGD-AT's."""
    plan, usual = recipe_of("mpadvt", 0).perturbations, recipe_of("pgd_at", 0).adversary
    assert plan is not None
    assert usual is not None
    return plan.share * statistics.mean(plan.steps), usual.steps


SECTION = Section(
    "Cost of training (survey, Table 15; MedRDF, Table XI)",
    "The recipes are the shipped ones. Their inner maximisation has 5 steps (10 in the survey's released code), "
    f"except for mpadvt (see below) and ensemble_at (one step). Time: the second of two epochs on {TRAINED} training "
    "images, with validation on 16 images and without a first stage (ssat, defensive_distillation). It is processor "
    f"time as a ratio to natural training in the same process: median and range of {ROUNDS} alternating rounds, each "
    "with its own seed. Verdicts in this section: a claim is confirmed or refuted if the whole ranges do not "
    "overlap. Of two equally costly methods, a given one comes out above the other in one of "
    f"{math.comb(2 * ROUNDS, ROUNDS)} cases. Memory: the peak of the process over the whole training, less its memory "
    "before; ratios as for time, in another process. It includes the weights of other networks (hat, ensemble_at, "
    "ard) and a first stage (ssat, defensive_distillation). No paper reports memory. Papers: ratios of seconds per "
    "epoch on an A100 (survey) and of hours (MedRDF).",
    run_training,
    tell_training,
    ("benchmark/training/**/*.py", "submissions/*/recipe.toml"),
)
