"""Attacks of signed or normalised steps, and their peers."""

import foolbox
import torchattacks
from parity.calls import art_params, from_art, from_foolbox, from_torchattacks, no_peer, our
from parity.case import Found, Line, Peer, peers

STEPS = [
    Line(
        "fgsm",
        "linf",
        40,
        (
            from_torchattacks("FGSM", lambda net, case: torchattacks.FGSM(net, eps=case.eps)),
            from_foolbox("LinfFastGradientAttack", lambda case: foolbox.attacks.LinfFastGradientAttack()),
            from_art("FastGradientMethod", lambda case: {"eps": case.eps}),
        ),
    ),
    Line(
        "bim",
        "linf",
        40,
        (
            from_torchattacks(
                "BIM", lambda net, case: torchattacks.BIM(net, eps=case.eps, alpha=case.eps / 7, steps=7)
            ),
            from_foolbox(
                "LinfBasicIterativeAttack",
                lambda case: foolbox.attacks.LinfBasicIterativeAttack(steps=7, rel_stepsize=1 / 7, random_start=False),
            ),
            from_art("BasicIterativeMethod", lambda case: art_params(case, 7, eps_step=case.eps / 7)),
        ),
        {"steps": 7},
    ),
    Line(
        "pgd",
        "linf",
        40,
        (
            from_torchattacks(
                "PGD", lambda net, case: torchattacks.PGD(net, eps=case.eps, alpha=case.eps / 4, steps=20)
            ),
            from_foolbox("LinfPGD", lambda case: foolbox.attacks.LinfPGD(steps=20, rel_stepsize=0.25)),
            from_art("ProjectedGradientDescent", lambda case: art_params(case, 20, num_random_init=1)),
        ),
    ),
    Line(
        "pgd-l2",
        "l2",
        20,
        (
            from_torchattacks(
                "PGDL2", lambda net, case: torchattacks.PGDL2(net, case.eps, alpha=case.eps / 8, steps=20)
            ),
            from_foolbox("L2PGD", lambda case: foolbox.attacks.L2PGD(steps=20, rel_stepsize=2.5 / 20)),
            from_art(
                "ProjectedGradientDescent",
                lambda case: art_params(case, 20, norm=2, num_random_init=1, eps_step=case.eps / 8),
            ),
        ),
    ),
    Line(
        "cw-linf",
        "linf",
        40,
        (
            from_art(
                "CarliniLInfMethod",
                lambda case: {
                    "max_iter": 50,
                    "learning_rate": 0.05,
                    "initial_const": 1.0,
                    "const_factor": 5.0,
                    "verbose": False,
                },
                "shrinks the radius from 1 and stops at its first failure, mostly far above this radius",
            ),
        ),
        images=20,
    ),
    Line(
        "mim",
        "linf",
        40,
        (
            from_torchattacks(
                "MIFGSM", lambda net, case: torchattacks.MIFGSM(net, eps=case.eps, alpha=case.eps / 10, steps=10)
            ),
            from_art("MomentumIterativeMethod", lambda case: art_params(case, 10, eps_step=case.eps / 10)),
        ),
    ),
    Line(
        "dim",
        "linf",
        40,
        (
            from_torchattacks(
                "DIFGSM",
                lambda net, case: torchattacks.DIFGSM(net, eps=case.eps, alpha=case.eps / 10, steps=10, decay=1.0),
                "transforms the whole batch alike and returns the last iterate; ours returns the last iterate that is "
                "misclassified without the transformation",
            ),
        ),
    ),
    Line(
        "tim",
        "linf",
        40,
        (
            Peer(
                "torchattacks",
                "TIFGSM",
                lambda case: Found(peers.torchattacks_tim(case.toy, case.eps)),
                "requires three channels and gets the grey image three times; same kernel, no input diversity",
            ),
        ),
    ),
    Line(
        "sma",
        "linf",
        40,
        (
            no_peer(
                "our pgd without a random start",
                our("pgd", random_start=False),
                "SMA gives up attack strength for an equal prediction on the smoothed image, so PGD may be stronger",
            ),
        ),
    ),
]
