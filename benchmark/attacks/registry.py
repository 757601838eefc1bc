"""Attacks by the name under which the matrix asks for them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from benchmark.attacks.apgd import Apgd, ApgdL2
from benchmark.attacks.base import Attack
from benchmark.attacks.cw_l2 import CwL2
from benchmark.attacks.deepfool import DeepFool
from benchmark.attacks.detectors import DetectorAware, DetectorAwareDecayed
from benchmark.attacks.evolution import OnePixel
from benchmark.attacks.fab import FabT, FabTL2
from benchmark.attacks.features import Fea, Hfc
from benchmark.attacks.fgsm import Fgsm
from benchmark.attacks.gap import Gap
from benchmark.attacks.hopskipjump import HopSkipJump
from benchmark.attacks.jsma import Jsma
from benchmark.attacks.momentum import Dim, Mim, Tim
from benchmark.attacks.pgd import Bim, CwLinf, Pgd, PgdL2
from benchmark.attacks.rays import Rays
from benchmark.attacks.sma import Sma
from benchmark.attacks.spsa import Spsa
from benchmark.attacks.square import Square
from benchmark.attacks.stress import Stress
from benchmark.attacks.uap import Uap
from benchmark.attacks.zoo import Zoo
from benchmark.errors import BenchError, did_you_mean

ATTACKS: dict[str, type[Any]] = {
    "fgsm": Fgsm,
    "bim": Bim,
    "pgd": Pgd,
    "pgd-l2": PgdL2,
    "cw-linf": CwLinf,
    "mim": Mim,
    "dim": Dim,
    "tim": Tim,
    "sma": Sma,
    "apgd": Apgd,
    "apgd-l2": ApgdL2,
    "fab-t": FabT,
    "fab-t-l2": FabTL2,
    "cw-l2": CwL2,
    "deepfool": DeepFool,
    "jsma": Jsma,
    "square": Square,
    "uap": Uap,
    "gap": Gap,
    "rays": Rays,
    "spsa": Spsa,
    "fea": Fea,
    "hfc": Hfc,
    "wb": DetectorAware,
    "wb-d": DetectorAwareDecayed,
    "stress": Stress,
    "hopskipjump": HopSkipJump,
    "one-pixel": OnePixel,
    "zoo": Zoo,
}


def build(method: str, params: Mapping[str, object]) -> Attack:
    """Return the attack ``method`` with these parameters; the rest keep their defaults.

    Raises:
        BenchError: the method, or a parameter of it, is unknown or out of range.
    """
    if method not in ATTACKS:
        raise BenchError(f"Unknown attack '{method}'.{did_you_mean(method, ATTACKS)}")
    known = {field.name: field.default for field in fields(ATTACKS[method])}
    for name in params:
        if name not in known:
            raise BenchError(f"Attack '{method}' has no parameter '{name}'.{did_you_mean(name, known)}")
    try:
        attack: Attack = ATTACKS[method](**params)
    except TypeError as error:
        raise BenchError(f"Attack '{method}' has a parameter of the wrong type in {dict(params)}: {error}.") from error
    return attack
