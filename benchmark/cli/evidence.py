"""``bench matrix --evidence``: which cells change a worst case, and what skipping work changes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli.console import Console
from benchmark.cli.output import print_json, table_of, wide_console

if TYPE_CHECKING:
    from leaderboard.evidence import Evidence, Study
    from leaderboard.skipping import Comparison, Spent


def print_evidence(results: Path, as_json: bool) -> None:
    """Print a table per matrix and kind of run, and one that holds the kinds against each other where both are there.

    Raises:
        BenchError: the rows cannot be read.
    """
    from dataclasses import asdict

    from benchmark.matrix.model import load_matrix
    from leaderboard.evidence import runs_in, studies
    from leaderboard.skipping import compare

    skipping, individual = runs_in(results)
    found = [*studies(skipping), *studies(individual)]
    compared = compare(skipping, individual)
    if as_json:
        told = [
            {**asdict(study), "cells": [{**asdict(cell), "idle": cell.idle} for cell in study.cells]} for study in found
        ]
        print_json({"studies": told, "sparing_against_individual": [asdict(one) for one in compared]})
        return
    digest = load_matrix()[1]
    for study in found:
        _print_study(study, in_force=study.matrix_hash == digest)
    if compared:
        _print_comparison(compared)
    if not found:
        _say(f"no rows of attacks in {results}.")


def _print_study(study: "Study", in_force: bool) -> None:
    table = table_of(
        *("Track", "Cell", "Norm", "Attacked", "Broken", "Alone" if study.individual else "First"),
        *("Entries", "Largest eps", "There", "Lowered", "Decides in", "So far"),
        whole=("Track", "Cell", "So far"),
    )
    for one in study.cells:
        largest = "–" if one.largest_eps_255 is None else f"{one.largest_eps_255:g}"
        table.add_row(
            *(one.track, one.attack, one.norm, str(one.attacked), str(one.broken), str(one.first), str(one.entries)),
            *(largest, str(one.first_at_largest), str(one.lowered), ", ".join(one.decided_in)),
            _so_far(one, study.individual),
        )
    mark = "" if in_force else ", not the one in force"
    kind = "every cell on every image" if study.individual else "skipping runs"
    table.title = f"Matrix version {study.matrix_version}{mark}: {kind}"
    wide_console().print(table)
    decisive = (
        "Alone: broken by no other counted cell of the track, at that budget or below."
        if study.individual
        else "First: broken by no cell run before; of unranked cells, by no counted cell of the track."
    )
    _say(f"{', '.join(study.entries)}. Images count once at each budget. {decisive}")


def _so_far(one: "Evidence", individual: bool) -> str:
    if one.unranked:
        return "not ranked, would have decided" if one.first else "not ranked"
    if one.idle:
        return "never alone" if individual else "idle"
    return "decides"


def _print_comparison(compared: Sequence["Comparison"]) -> None:
    table = table_of(
        *("Track", "Norm", "Eps", "Entries", "Images", "Broken only in individual", "Broken only in skipping"),
        *("Seconds", "Queries", "Gradients"),
        whole=("Track",),
    )
    table.title = "Skipping against --individual"
    for one in compared:
        spent = (one.skipping, one.individual)
        table.add_row(
            *(one.track, one.norm, f"{one.eps_255:g}", str(one.entries), str(one.images)),
            *(str(one.missed), str(one.only_skipping), _ratio(*spent, lambda part: part.seconds)),
            *(_ratio(*spent, lambda part: part.queries), _ratio(*spent, lambda part: part.gradients)),
        )
    wide_console().print(table)
    _say("Worst case over the counted cells. Seconds, queries, gradients: what the skipping run spent, as a share.")


def _ratio(part: "Spent", whole: "Spent", of: Callable[["Spent"], float]) -> str:
    return f"{of(part) / of(whole):.2f}" if of(whole) else "–"


def _say(text: str) -> None:
    Console(soft_wrap=True).print(text, highlight=False, markup=False)
