"""Adaptive steps, nearest points and saliency, with their peers."""

from collections.abc import Callable, Mapping
from typing import Any

import foolbox
import numpy as np
import torchattacks
from parity.calls import (
    ART,
    art_params,
    from_art,
    from_foolbox,
    from_pyautoattack,
    from_torchattacks,
)
from parity.case import Case, Found, Line, Peer, peers
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from torch import Tensor, nn

ONE_START = "one random start each; on four other networks the two differ by one image of 120, in either direction"


def _lp(case: Case) -> str:
    return {"linf": "Linf", "l2": "L2"}[case.norm]


def _autopgd(loss: str) -> Callable[[Case], Mapping[str, object]]:
    def params(case: Case) -> Mapping[str, object]:
        norm: object = np.inf if case.norm == "linf" else 2
        more = {"norm": norm, "loss_type": loss, "nb_random_init": 1, "eps_step": 2 * case.eps}
        return art_params(case, 50) | more

    return params


def _jsma(case: Case) -> Found:
    candidates: Tensor = case.toy.images.clone()
    for found in peers.art_jsma(case.toy, int(case.eps)):
        wrong = case.wrong(found)
        candidates[wrong] = found[wrong]
    return Found(candidates)


def _torchattacks_jsma(net: nn.Module, case: Case) -> Any:
    attack = torchattacks.JSMA(net, theta=1.0, gamma=case.eps / 64)
    attack.set_mode_targeted_by_function(lambda _, labels: (labels + 1) % case.num_classes)
    return attack


BOUNDARY = [
    Line(
        "apgd",
        "linf",
        40,
        (
            from_pyautoattack(
                "APGD-CE", lambda net, case: APGDAttack(net, n_iter=50, eps=case.eps, n_restarts=1, device="cpu")
            ),
            from_torchattacks("APGD", lambda net, case: torchattacks.APGD(net, eps=case.eps, steps=50)),
            from_art("AutoProjectedGradientDescent", _autopgd("cross_entropy"), ONE_START),
        ),
        {"iterations": 50},
        "cross-entropy",
    ),
    Line(
        "apgd",
        "linf",
        40,
        (
            from_pyautoattack(
                "APGD-T",
                lambda net, case: APGDAttack_targeted(net, n_iter=50, eps=case.eps, n_target_classes=9, device="cpu"),
            ),
            from_torchattacks("APGDT", lambda net, case: torchattacks.APGDT(net, eps=case.eps, steps=50, n_classes=10)),
        ),
        {"iterations": 50, "loss": "targeted"},
        "targeted",
        (10,),
    ),
    Line(
        "apgd-l2",
        "l2",
        20,
        (
            from_pyautoattack(
                "APGD-CE, L2",
                lambda net, case: APGDAttack(net, n_iter=50, norm="L2", eps=case.eps, n_restarts=1, device="cpu"),
            ),
            from_art("AutoProjectedGradientDescent", _autopgd("cross_entropy")),
        ),
        {"iterations": 50},
    ),
    *(
        Line(
            attack,
            norm,
            eps_255,
            (
                from_pyautoattack(
                    "FAB-T",
                    lambda net, case: FABAttack_PT(
                        net,
                        norm=_lp(case),
                        eps=case.eps,
                        n_restarts=1,
                        n_iter=50,
                        targeted=True,
                        n_target_classes=case.num_classes - 1,
                        device="cpu",
                    ),
                ),
                from_torchattacks(
                    "FAB",
                    lambda net, case: torchattacks.FAB(
                        net,
                        norm=_lp(case),
                        eps=case.eps,
                        steps=50,
                        multi_targeted=True,
                        n_classes=case.num_classes,
                    ),
                ),
            ),
            {"iterations": 50},
        )
        for attack, norm, eps_255 in (("fab-t", "linf", 40), ("fab-t-l2", "l2", 20))
    ),
    Line(
        "cw-l2",
        "l2",
        20,
        (
            from_foolbox(
                "L2CarliniWagnerAttack",
                lambda case: foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=4, steps=40, stepsize=0.05),
            ),
            from_torchattacks(
                "CW",
                lambda net, case: torchattacks.CW(net, c=1, steps=160, lr=0.05),
                "160 steps at one value of c; ours takes 40 steps at each of four, and adding a constant to all logits "
                "changes the peer's result, not ours",
            ),
            from_art(
                "CarliniL2Method",
                lambda case: {
                    "binary_search_steps": 4,
                    "max_iter": 40,
                    "learning_rate": 0.05,
                    "batch_size": 64,
                    "verbose": False,
                },
            ),
        ),
        {"searches": 4, "steps": 40},
        images=60,
    ),
    Line(
        "deepfool",
        "l2",
        20,
        (
            from_foolbox("L2DeepFoolAttack", lambda case: foolbox.attacks.L2DeepFoolAttack()),
            from_torchattacks("DeepFool", lambda net, case: torchattacks.DeepFool(net)),
            from_art("DeepFool", lambda case: {"max_iter": 50, "batch_size": 64, "verbose": False}),
        ),
        images=60,
    ),
    Line(
        "jsma",
        "l0",
        2,
        (
            Peer(ART, "SaliencyMapMethod", _jsma, "the best of both directions and of up to three target classes"),
            from_torchattacks("JSMA", _torchattacks_jsma, "one target class (label plus one); pixels only increase"),
        ),
        images=40,
    ),
]
