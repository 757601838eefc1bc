"""What a run will take: the passes that official runs took, times what a pass of this entry takes on this machine."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.engine.graph import Graph
from benchmark.engine.probe import Pace, paces
from benchmark.engine.settings import Unit
from benchmark.engine.workplace import Kind, Workplace
from benchmark.matrix import Cell
from benchmark.results.schema import CLEAN, CORRUPTION, DIAGNOSTIC, PERTURBATIONS

FILE = "effort.json"
"""File beside the official board that has the passes."""

START_SECONDS = 6.0
"""What a worker takes to start."""

FITTED_ON = 32
"""Training images in a step of an attack that is fitted on them."""

PER_BUDGET = 0.15
"""Seconds that an attack takes at a budget however few images are left to it: a small network is busy with steps."""

BESIDE = {"fit": 0.9, "candidates": 0.7}
"""Share of a unit's time that its nodes of a kind take."""

LEAST = 0.1
"""Seconds of a node of which nothing is known."""

FRAMES = 21


Passes = tuple[float, float, float]
"""Forward, backward passes and attacks per image."""


def estimate(workplace: Workplace, units: Sequence[Unit], workers: int = 1) -> dict[Unit, float]:
    """Estimate the seconds of processor time of each unit; entries are built and timed for a second each.

    Args:
        workplace: the run.
        units: the units that will run.
        workers: processes that will run.
    """
    known = _efforts(workplace.root.official_records / FILE)
    first = {(unit.submission, unit.dataset): unit for unit in reversed(units)}
    pace = paces(workplace, first, workers)
    return {unit: _seconds(workplace, unit, pace[unit.submission, unit.dataset], known) for unit in units}


def _efforts(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(workplace: Workplace, unit: Unit, pace: Pace, known: Mapping[str, Any]) -> float:
    images = len(workplace.images_of(unit))
    kind = workplace.kind(unit.submission, unit.dataset)
    draws = workplace.profile.judge_draws if kind.stochastic else 1
    if unit.track == CLEAN:
        return images * draws * pace.decision
    if unit.track == CORRUPTION:
        severities = workplace.profile.severities or workplace.matrix.corruption.severities
        return images * len(PERTURBATIONS) * len(severities) * FRAMES * pace.decision
    if unit.track == DIAGNOSTIC:
        samples = workplace.profile.eot_samples if kind.stochastic else 1
        steps = sum(int(cell.params.get("steps", 1)) for cell in workplace.cells_of(unit))
        asked = sum(int(cell.params.get("queries", 0)) for cell in workplace.cells_of(unit))
        return images * (steps * samples * pace.gradient + (5 * draws + asked) * pace.decision)
    if workplace.plain_as(unit):
        return 0.0
    queries, gradients, attacks = _passes(workplace, unit, kind, known)
    share = _share_of_official(workplace, unit, kind)
    track = workplace.matrix.named(unit.track)
    if track.fitted:
        # Nearly all of it is fitting, which takes the same for few images as for many.
        share *= workplace.card(unit.dataset).official.count / len(workplace.split(unit.dataset, unit.track))
    forward = pace.decision if track.view == "queries" else pace.gradient / 3
    passes = gradients * pace.gradient + max(0.0, queries - gradients) * forward
    least = PER_BUDGET * sum(len(cell.eps_255) for cell in workplace.cells_of(unit))
    return least + images * share * (passes + attacks * draws * pace.decision)


def _passes(workplace: Workplace, unit: Unit, kind: Kind, known: Mapping[str, Any]) -> Passes:
    """Passes per image: of the entry's own official run, else the upper quartile of entries of its kind."""
    own = known.get(f"{unit.dataset}/{workplace.entry(unit.submission).name}")
    if own and unit.track in own["tracks"]:
        return _passes_of(own["tracks"][unit.track])
    others = [
        _passes_of(one["tracks"][unit.track])
        for one in known.values()
        if one["stochastic"] == kind.stochastic and unit.track in one["tracks"]
    ]
    if len(others) < 2:
        return others[0] if others else _usual(workplace, unit)
    # Robust entries take more: images not yet misclassified are attacked again.
    first, second, third = (statistics.quantiles(column, n=4)[2] for column in zip(*others, strict=True))
    return first, second, third


def _usual(workplace: Workplace, unit: Unit) -> Passes:
    cost = workplace.matrix.named(unit.track).cost
    return cost.forward, cost.backward, cost.attacks


def _passes_of(told: Sequence[float]) -> Passes:
    first, second, third = (float(value) for value in told)
    return first, second, third


def _share_of_official(workplace: Workplace, unit: Unit, kind: Kind) -> float:
    """How much of an official run's passes this profile takes, by the steps, queries and budgets of its cells."""
    official = next((name for name, one in workplace.matrix.profile.items() if one.official), None)
    if official is None or workplace.profile.official:
        return 1.0
    whole = workplace.matrix.cells(unit.track, stochastic=kind.stochastic, has=kind.offers, profile=official)
    return _nominal(workplace.cells_of(unit)) / max(1.0, _nominal(whole))


def _nominal(cells: Sequence[Cell]) -> float:
    """Passes that the cells would take if every image met every budget."""
    total = 0.0
    for cell in cells:
        sizes = [
            float(cell.params[name]) for name in ("steps", "iterations", "queries", "batches") if name in cell.params
        ]
        if "epochs" in cell.params:
            sizes.append(float(cell.params["epochs"]) * float(cell.params.get("images", FITTED_ON)) / FITTED_ON)
        total += len(cell.eps_255) * max(sizes, default=10.0) * float(cell.params.get("restarts", 1))
    return total


def node_seconds(graph: Graph, seconds: Mapping[Unit, float]) -> dict[str, float]:
    """Share out the seconds of each unit to compute between its rows and the nodes beside it; a shared node once.

    Args:
        graph: the run's.
        seconds: of each of its units.
    """
    found = dict.fromkeys(graph.nodes, LEAST)
    for key, node in graph.nodes.items():
        if node.kind != "rows":
            continue
        whole = seconds[node.unit]
        found[key] += whole
        for kind, share in BESIDE.items():
            beside = [one.key for one in graph.inputs[key] if one.kind == kind]
            found[key] -= share * whole if beside else 0.0
            for one in beside:
                if one in found:
                    found[one] = max(found[one], share * whole / len(beside))
    return found


def wall_seconds(units: Sequence[float], workers: int) -> float:
    """Seconds until the last of these units ends where each worker takes the next one when it is free."""
    free = [START_SECONDS if workers > 1 else 0.0] * max(1, min(workers, len(units)))
    for seconds in units:
        free[free.index(min(free))] += seconds
    return max(free) if units else 0.0


def in_words(seconds: float) -> str:
    """Return a duration as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(5, round(seconds / 5) * 5)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
