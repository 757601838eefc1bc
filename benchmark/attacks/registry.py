"""Attacks by the name under which the matrix asks for them: those of the benchmark, and those of plug-ins.

A package adds attacks through entry points of the group ``medrobustbench.attacks``::

    [project.entry-points."medrobustbench.attacks"]
    my-attack = "my_package.attacks:MyAttack"

Attacks are named here as entry points name them and imported when first asked for: which code makes a cell is then
the attack's own module and what it imports, and a broken plug-in stops nobody who does not use it.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from benchmark.attacks.base import Attack, Inside
from benchmark.errors import BenchError, did_you_mean
from benchmark.results.schema import NORMS

GROUP = "medrobustbench.attacks"
"""Entry point group of plug-ins."""

INSIDE = {
    name: f"benchmark.attacks.{place}"
    for name, place in {
        "fgsm": "fgsm:Fgsm",
        "bim": "pgd:Bim",
        "pgd": "pgd:Pgd",
        "pgd-l2": "pgd:PgdL2",
        "cw-linf": "pgd:CwLinf",
        "mim": "momentum:Mim",
        "dim": "momentum:Dim",
        "tim": "momentum:Tim",
        "sma": "sma:Sma",
        "apgd": "apgd:Apgd",
        "apgd-l2": "apgd:ApgdL2",
        "fab-t": "fab:FabT",
        "fab-t-l2": "fab:FabTL2",
        "cw-l2": "cw_l2:CwL2",
        "deepfool": "deepfool:DeepFool",
        "jsma": "jsma:Jsma",
        "square": "square:Square",
        "uap": "uap:Uap",
        "gap": "gap:Gap",
        "rays": "rays:Rays",
        "distilled": "distilled:Distilled",
        "spsa": "spsa:Spsa",
        "inner": "inner:Inner",
        "fea": "features:Fea",
        "hfc": "features:Hfc",
        "wb": "detectors:DetectorAware",
        "wb-d": "detectors:DetectorAwareDecayed",
        "stress": "stress:Stress",
        "hopskipjump": "hopskipjump:HopSkipJump",
        "one-pixel": "evolution:OnePixel",
        "zoo": "zoo:Zoo",
        "torchattacks": "libraries:TorchAttacks",
        "pyautoattack": "libraries:PyAutoAttack",
    }.items()
}
"""The benchmark's own attacks: name -> ``module:class``."""

FITTED = ("training", "answers")
"""Kinds of view before an attack: what they are fitted with is computed once for an entry."""

KNOWLEDGE = (*get_args(Inside), "scores", "labels", "training", "answers")
"""What an attack may need to know: the kinds of view."""


class _Attacks(Mapping[str, type[Any]]):
    """The classes of all attacks by name; one is imported when it is taken."""

    def __getitem__(self, name: str) -> type[Any]:
        place = _place(name)
        if place is None:
            raise KeyError(name)
        if name in INSIDE:
            return _taken(place)
        try:
            kind = _taken(place)
        except (Exception, SystemExit) as error:
            raise BenchError(
                f"attack '{name}' of plug-in '{_owner(name)}' cannot be loaded from {place} "
                f"({type(error).__name__}: {error}); repair the plug-in or uninstall it."
            ) from error
        fault = _fault(kind)
        if fault:
            raise BenchError(f"attack '{name}' of plug-in '{_owner(name)}', {place}, {fault}; repair the plug-in.")
        return kind

    def __contains__(self, name: object) -> bool:
        return name in INSIDE or name in _plugged()

    def __iter__(self) -> Iterator[str]:
        yield from INSIDE
        yield from sorted(_plugged().keys() - INSIDE.keys())

    def __len__(self) -> int:
        return len(INSIDE.keys() | _plugged().keys())


ATTACKS: Mapping[str, type[Any]] = _Attacks()
"""Name -> class. A plug-in's that cannot be used raises BenchError when it is taken."""


def build(method: str, params: Mapping[str, object]) -> Attack:
    """Return the attack ``method`` with these parameters; the rest keep their defaults.

    Raises:
        BenchError: the method, or a parameter of it, is unknown or out of range; its plug-in cannot be used.
    """
    if method not in ATTACKS:
        raise BenchError(f"Unknown attack '{method}'.{did_you_mean(method, ATTACKS)}")
    kind = ATTACKS[method]
    known = {field.name: field.default for field in fields(kind)}
    for name in params:
        if name not in known:
            raise BenchError(f"Attack '{method}' has no parameter '{name}'.{did_you_mean(name, known)}")
    try:
        attack: Attack = kind(**params)
    except TypeError as error:
        raise BenchError(f"Attack '{method}' has a parameter of the wrong type in {dict(params)}: {error}.") from error
    return attack


def place_of(method: str) -> str:
    """``module:class`` of an attack; imported by now, so that the code that is hashed is the code that runs.

    Raises:
        BenchError: the attack is unknown, or its plug-in cannot be used.
    """
    place = _place(method)
    if place is None:
        raise BenchError(f"Unknown attack '{method}'.{did_you_mean(method, ATTACKS)}")
    _ = ATTACKS[method]
    return place


def _place(name: str) -> str | None:
    """``module:class`` of an attack; None for an unknown one.

    Raises:
        BenchError: two packages claim the name.
    """
    claims = _plugged().get(name, ())
    owners = sorted({_package(claim) for claim in claims})
    if name in INSIDE and claims:
        raise BenchError(
            f"plug-in '{owners[0]}' calls an attack '{name}', which is one of the benchmark's own; "
            "rename it there or uninstall the plug-in."
        )
    if len(claims) > 1:
        raise BenchError(
            f"attack '{name}' is claimed by {len(claims)} entry points of {' and '.join(owners)}; "
            "rename one of them or uninstall its plug-in."
        )
    return INSIDE.get(name) or (f"{claims[0].module}:{claims[0].attr}" if claims else None)


def _plugged() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Entry points of plug-ins by name."""
    return _found(tuple(sys.path))


@lru_cache(maxsize=2)
def _found(_path: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Looking through all installed packages takes a while: once for a search path."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=GROUP):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


def _owner(name: str) -> str:
    return _package(_plugged()[name][0])


@cache
def _taken(place: str) -> type[Any]:
    module, _, attribute = place.partition(":")
    kind: type[Any] = getattr(importlib.import_module(module), attribute)
    return kind


def _fault(kind: object) -> str:
    """What keeps a plug-in's object from being an attack, as a clause; empty for a sound one."""
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return "is no dataclass, whose fields would be the cell's parameters"
    knowledge = getattr(kind, "knowledge", None)
    if knowledge not in KNOWLEDGE:
        return f"has knowledge {knowledge!r} instead of one of {', '.join(KNOWLEDGE)}"
    norm = getattr(kind, "norm", None)
    if norm not in NORMS:
        return f"has norm {norm!r} instead of one of {', '.join(NORMS)}"
    wanted = ("fit", "apply") if knowledge in FITTED else ("__call__",)
    missing = [name for name in wanted if not hasattr(kind, name)]
    return f"has no method {' or '.join(missing)}" if missing else ""
