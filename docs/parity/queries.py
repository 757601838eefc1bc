"""Attacks by queries, and their peers."""

import numpy as np
import torchattacks
from parity.calls import from_art, from_pyautoattack, from_torchattacks, no_peer, our
from parity.case import Case, Found, Line, Peer, peers
from pyautoattack.square import SquareAttack


def _hopskipjump(case: Case) -> Found:
    return Found(*peers.foolbox_hopskipjump(case.toy, case.norm))


DISTILLED = {"images": 800, "rounds": 8, "strongest_255": 60.0, "queries": 500}

QUERIES = [
    Line(
        "distilled",
        "linf",
        30,
        (
            no_peer(
                "our rays, 500 queries",
                our("rays", queries=500),
                "of the first, queries for each image only; 7200 labels of training images come before",
            ),
        ),
        DISTILLED,
        natural=True,
        images=60,
    ),
    Line(
        "square",
        "linf",
        40,
        (
            from_pyautoattack(
                "Square",
                lambda net, case: SquareAttack(net, eps=case.eps, n_queries=500, resc_schedule=True, device="cpu"),
            ),
            from_torchattacks("Square", lambda net, case: torchattacks.Square(net, eps=case.eps, n_queries=500)),
            from_art(
                "SquareAttack",
                lambda case: {"eps": case.eps, "max_iter": 500, "norm": np.inf, "verbose": False},
            ),
        ),
        {"queries": 500},
    ),
    Line(
        "spsa",
        "linf",
        40,
        (
            from_torchattacks(
                "SPSA",
                lambda net, case: torchattacks.SPSA(net, eps=case.eps, delta=0.01, lr=0.01, nb_iter=25, nb_sample=24),
            ),
        ),
        {"samples": 24, "iterations": 25, "queries": 1200},
        images=60,
    ),
    *(
        Line(
            "hopskipjump",
            norm,
            eps_255,
            (
                Peer("foolbox", "HopSkipJumpAttack", _hopskipjump),
                from_art(
                    "HopSkipJump",
                    lambda case: {
                        "norm": np.inf if case.norm == "linf" else 2,
                        "max_iter": 5,
                        "max_eval": 1000,
                        "init_eval": 100,
                        "verbose": False,
                    },
                    counted=True,
                ),
            ),
            {"norm": norm, "queries": 900},
            images=30,
        )
        for norm, eps_255 in (("linf", 48), ("l2", 24))
    ),
    Line(
        "rays",
        "linf",
        48,
        (
            no_peer(
                "our hopskipjump, as many queries",
                our("hopskipjump", queries=900),
                "the authors' code is in no package; tests check its optimum on linear networks",
            ),
        ),
        {"queries": 900},
        images=30,
    ),
    Line(
        "one-pixel",
        "l0",
        3,
        (
            Peer(
                "torchattacks",
                "OnePixel",
                lambda case: Found(*peers.torchattacks_one_pixel(case.toy, int(case.eps))),
            ),
        ),
        {"queries": 1500},
        images=100,
    ),
    Line(
        "one-pixel",
        "l0",
        3,
        (
            from_art(
                "PixelAttack",
                lambda case: {"th": int(case.eps), "es": 1, "max_iter": 3},
                "does not support two classes",
                counted=True,
            ),
        ),
        {"queries": 1500},
        classes=(10,),
        images=100,
    ),
    Line(
        "zoo",
        "l2",
        24,
        (
            from_art(
                "ZooAttack",
                lambda case: {
                    "learning_rate": 0.05,
                    "max_iter": 40,
                    "binary_search_steps": 2,
                    "initial_const": 1.0,
                    "abort_early": False,
                    "use_resize": False,
                    "use_importance": False,
                    "nb_parallel": 32,
                    "variable_h": 0.01,
                    "verbose": False,
                },
                counted=True,
            ),
        ),
        {"queries": 5000},
        images=12,
    ),
]
