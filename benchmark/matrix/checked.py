"""Whether the cells of a matrix file can run as they are written. Imports the attacks, and with them torch.

A cell that cannot run leaves gaps, hours later; one whose attack quietly does something else leaves wrong rows.
"""

import math
from collections.abc import Iterator
from dataclasses import fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from benchmark.attacks.registry import ATTACKS, INSIDE, build
from benchmark.errors import BenchError, did_you_mean
from benchmark.matrix.budgets import NORM_NAMES
from benchmark.matrix.cell import Cell, Params
from benchmark.matrix.model import Matrix
from benchmark.matrix.rules import View

_EVERYTHING = ("gradient", "features", "references", "scores", "labels", "training", "answers")
KNOWLEDGE: dict[View, tuple[str, ...]] = {
    "surrogate": ("gradient",),
    "queries": ("scores", "labels", "answers"),
    "training": ("training",),
    "undefended": tuple(kind for kind in _EVERYTHING if kind != "answers"),
    "everything": _EVERYTHING,
}
"""What attacks of each view may need to know."""

_MEANS = {
    "gradient": "gradients",
    "features": "features of inner layers",
    "references": "features of training images",
    "scores": "scores",
    "labels": "labels",
    "training": "a fit on training images",
    "answers": "the system's answers on training images",
}
_WORDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}


def check_matrix(matrix: Matrix) -> None:
    """Hold every cell against the attack that it names, under every profile.

    Raises:
        BenchError: the first fault, in one sentence that does not name the file.
    """
    for cell in matrix.cell:
        for fault in _faults(matrix, cell):
            raise BenchError(f"cell '{cell.track}/{cell.name}': {_stopped(fault)}")
    # Of plug-ins only those that the matrix names: another one may be broken.
    methods = {*INSIDE, *(cell.method for cell in matrix.cell)}
    for name, profile in matrix.profile.items():
        for cap in profile.caps:
            known = {parameter for method in methods for parameter in _parameters(method)}
            if cap not in known:
                raise BenchError(f"profile '{name}': no attack has the parameter '{cap}'.{did_you_mean(cap, known)}")
        _check_profile(matrix, name)
    _check_twins(matrix)


def _stopped(clause: str) -> str:
    return clause if clause.endswith((".", "?")) else f"{clause}."


def _faults(matrix: Matrix, cell: Cell) -> Iterator[str]:
    if cell.method not in ATTACKS:
        yield f"attack '{cell.method}' is unknown.{did_you_mean(cell.method, ATTACKS)}"
        return
    if cell.stochastic and cell.when == "deterministic":
        yield "it has parameters for randomised defenses but when is 'deterministic'; remove one of the two"
    for params in (cell.params, {**cell.params, **cell.stochastic}):
        yield from _wrong_params(cell.method, params)
        attack = build(cell.method, params)
        yield from _wrong_norm(cell, attack)
        yield from _wrong_view(matrix, cell, attack.knowledge, params)


def _parameters(method: str) -> dict[str, Any]:
    """Names and types of an attack's parameters."""
    types = get_type_hints(ATTACKS[method])
    return {field.name: types[field.name] for field in fields(ATTACKS[method])}


def _wrong_params(method: str, params: Params) -> Iterator[str]:
    known = _parameters(method)
    for name, value in params.items():
        if name not in known:
            yield f"attack '{method}' has no parameter '{name}'.{did_you_mean(name, known)}"
        elif not _fits(value, known[name]):
            kinds = [_WORDS[kind] for kind in _kinds(known[name]) if kind in _WORDS]
            yield f"parameter '{name}' of attack '{method}' is {value!r}; give {' or '.join(kinds)}"
    try:
        build(method, params)
    except BenchError as error:
        yield str(error)


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _fits(value: object, hint: Any) -> bool:
    """Whether a value of a TOML file may stand for a parameter of this type; a boolean is no number."""
    for kind in _kinds(hint):
        if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return math.isfinite(value)
        if type(value) is kind:
            return True
    return False


def _wrong_norm(cell: Cell, attack: Any) -> Iterator[str]:
    if attack.norm == cell.norm:
        return
    if "norm" in _parameters(cell.method):
        yield f"norm is '{cell.norm}' but its attack's parameter norm is '{attack.norm}'; make them equal"
        return
    suits = [method for method in INSIDE if getattr(ATTACKS[method], "norm", "") == cell.norm]
    yield (
        f"norm is '{cell.norm}' but attack '{cell.method}' works in '{attack.norm}'; correct it, or take an attack "
        f"of '{cell.norm}': {', '.join(sorted(suits))}"
    )


def _wrong_view(matrix: Matrix, cell: Cell, knowledge: str, params: Params) -> Iterator[str]:
    view = matrix.view_of(cell)
    if knowledge not in KNOWLEDGE[view]:
        offered = ", ".join(_MEANS[kind] for kind in KNOWLEDGE[view])
        tracks = ", ".join(matrix.with_view(*(one for one, kinds in KNOWLEDGE.items() if knowledge in kinds)))
        yield (
            f"attack '{cell.method}' needs {_MEANS[knowledge]}, but track '{cell.track}' gives {offered}; "
            f"move the cell to {tracks}"
        )
    if knowledge in ("scores", "labels", "answers") and "queries" not in params:
        yield f"attack '{cell.method}' asks queries; give it the parameter queries, its largest number"
    if cell.backward == "identity" and (
        view != "everything" or knowledge in ("scores", "labels", "training", "answers")
    ):
        yield "backward = 'identity' is for adaptive attacks with gradients; remove it"
    if view != "surrogate" and cell.surrogate:
        tracks = " and ".join(matrix.with_view("surrogate"))
        yield f"surrogate is for the {tracks} track and has no effect in '{cell.track}'; remove it"


def _check_profile(matrix: Matrix, name: str) -> None:
    """A profile must leave some budgets of the norm that ranks, and parameters that its cells' attacks take."""
    offers = {cell.needs for cell in matrix.cell}
    kept = [
        cell
        for track in matrix.attack_tracks
        for stochastic in (False, True)
        for cell in matrix.cells(track, stochastic=stochastic, profile=name, has=offers)
    ]
    budgets, norm = matrix.profile[name].eps_255, matrix.ranking.norm
    if budgets and any(cell.norm == norm for cell in matrix.cell) and not any(one.norm == norm for one in kept):
        told = ", ".join(f"{eps:g}" for eps in budgets)
        raise BenchError(
            f"profile '{name}': no {NORM_NAMES[norm]} cell has one of its eps_255, {told}; name budgets of the cells."
        )
    for cell in kept:
        try:
            build(cell.method, cell.params)
        except BenchError as error:
            raise BenchError(f"cell '{cell.track}/{cell.name}' under profile '{name}': {error}") from None


def _check_twins(matrix: Matrix) -> None:
    """Two cells that make the same rows would cost twice and hide each other in the evidence."""
    met: dict[str, Cell] = {}
    for cell in matrix.cell:
        what = {"name", "suite", "eps_255", "cost", "knowledge", "objective", "source"}
        key = repr(sorted(cell.model_dump(exclude=what).items()))
        twin = met.setdefault(key, cell)
        if twin is not cell and set(twin.eps_255) & set(cell.eps_255):
            raise BenchError(
                f"cells '{twin.name}' and '{cell.name}' of track '{cell.track}' are the same attack with the same "
                "parameters; remove one."
            )
