"""Attacks on features and detectors, fitted attacks and suites, with their peers or substitutes for a peer."""

from art.attacks import evasion
from parity.calls import ART, no_peer, our, random_signs
from parity.case import Case, Found, Line, Peer, our_suite, peers

from benchmark.access import References


def _uap(case: Case) -> Found:
    noise = peers.art_uap(case.toy.net, case.num_classes, *case.training(60), case.eps)
    return Found((case.toy.images + noise).clamp(0, 1))


def _feature_adversaries(case: Case) -> Found:
    guides = References(*case.training(1200)).of_another_class(case.toy.images, case.toy.labels)
    found = peers.art_with(
        evasion.FeatureAdversariesPyTorch,
        case.toy,
        guides.numpy(),
        delta=case.eps,
        layer=PENULTIMATE,
        max_iter=30,
        step_size=case.eps / 10,
        batch_size=128,
        random_start=True,
        verbose=False,
    )
    return Found(found)


PENULTIMATE = 6
"""Index of the module whose output enters the last layer of the problem's network."""

FEATURES = [
    Line(
        "fea",
        "linf",
        56,
        (Peer(ART, "FeatureAdversariesPyTorch", _feature_adversaries, "given the same guide images and layer"),),
        {"steps": 30},
        natural=True,
    ),
    Line(
        "hfc",
        "linf",
        30,
        (
            no_peer(
                "our pgd, 30 steps",
                our("pgd", steps=30),
                "HFC gives up attack strength for features that are likely under another class; a test verifies them",
            ),
        ),
        {"steps": 30},
        natural=True,
    ),
    *(
        Line(
            attack,
            "linf",
            30,
            (
                no_peer(
                    "our pgd, 60 steps",
                    our("pgd", steps=60),
                    "a toy detector rejects one clean image in twenty; PGD ignores it",
                ),
            ),
            {"steps": 60},
            variant="behind a detector",
            natural=True,
            detector=True,
        )
        for attack in ("wb", "wb-d")
    ),
    Line(
        "inner",
        "linf",
        30,
        (
            no_peer(
                "our pgd, 50 steps",
                our("pgd", steps=50),
                "behind labels alone, without a gradient; PGD is given the bare network",
            ),
        ),
        variant="behind labels alone",
        natural=True,
    ),
    Line(
        "stress",
        "linf",
        64,
        (
            no_peer(
                "random signs",
                random_signs,
                "its objective is an activation, not the loss; tests check its optimum",
            ),
        ),
        natural=True,
    ),
]
FITTED = [
    Line("uap", "linf", 64, (Peer(ART, "UniversalPerturbation", _uap),), {"target": "class"}, natural=True),
    Line(
        "gap",
        "linf",
        64,
        (
            no_peer("random signs", random_signs, "the authors' code is in no package"),
            no_peer("our uap", our("uap", target="class"), "both are fitted on training images"),
        ),
        {"batches": 120, "loss": "true_class"},
        natural=True,
    ),
]
SUITE = (
    ("apgd", {"loss": "cross_entropy"}),
    ("apgd", {"loss": "targeted"}),
    ("fab-t", {}),
    ("square", {"queries": 5000}),
)
SUITES = [
    Line(
        "AutoAttack",
        "linf",
        40,
        (Peer("pyautoattack", "AutoAttack, standard", lambda case: Found(peers.auto_attack(case.toy, case.eps))),),
        classes=(10,),
        call=lambda case: our_suite(case, SUITE),
    ),
    Line(
        "AutoAttack",
        "linf",
        40,
        (
            Peer(
                "pyautoattack",
                "AutoAttack, APGD-CE, FAB-T, Square",
                lambda case: Found(peers.custom_auto_attack(case.toy, case.eps)),
                "the standard version raises IndexError below ten classes",
            ),
        ),
        variant="few classes",
        classes=(2,),
        call=lambda case: our_suite(case, (*SUITE[:3], ("square", {"queries": 1000}))),
    ),
]
