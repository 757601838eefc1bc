"""How each library is called for a case of the table."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from art.attacks import evasion
from parity.case import Case, Found, Peer, ours, peers
from torch import nn

ART = "adversarial-robustness-toolbox"


def from_torchattacks(name: str, make: Callable[[nn.Module, Case], Any], note: str = "") -> Peer:
    """An attack of torchattacks; ``make`` takes network and case."""

    def call(case: Case) -> Found:
        return Found(make(case.toy.net.eval(), case)(case.toy.images, case.toy.labels))

    return Peer("torchattacks", name, call, note)


def from_pyautoattack(name: str, make: Callable[[nn.Module, Case], Any], note: str = "") -> Peer:
    """An attack of pyautoattack; ``make`` takes network and case."""

    def call(case: Case) -> Found:
        return Found(make(case.toy.net.eval(), case).perturb(case.toy.images, case.toy.labels))

    return Peer("pyautoattack", name, call, note)


def from_foolbox(name: str, make: Callable[[Case], Any], note: str = "") -> Peer:
    """An attack of foolbox with a fixed budget."""
    return Peer("foolbox", name, lambda case: Found(peers.foolbox_with(make(case), case.toy, case.eps)), note)


def from_art(name: str, params: Callable[[Case], Mapping[str, object]], note: str = "", counted: bool = False) -> Peer:
    """An attack of ART by its name, with the parameters from ``params``; ``counted`` counts queries."""

    def call(case: Case) -> Found:
        given = dict(params(case))
        if not counted:
            return Found(peers.art_with(getattr(evasion, name), case.toy, **given))
        # One image at a time, to find the most queries for any image.
        found, most = [], 0
        for place in range(len(case.toy.images)):
            one = replace(case.toy, images=case.toy.images[[place]], labels=case.toy.labels[[place]])
            candidates, queries = peers.art_counted(getattr(evasion, name), one, **given)
            found.append(candidates)
            most = max(most, queries)
        return Found(torch.cat(found), most)

    return Peer(ART, name, call, note)


def no_peer(name: str, call: Callable[[Case], Found], note: str) -> Peer:
    """The substitute for a peer, for an attack without one."""
    return Peer("", name, call, note)


def our(method: str, **params: object) -> Callable[[Case], Found]:
    """One of our attacks, as a substitute for a peer."""
    return lambda case: ours(case, method, params)


def random_signs(case: Case) -> Found:
    """Change every pixel by the radius, with random signs."""
    signs = torch.randint(0, 2, case.toy.images.shape, generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    return Found((case.toy.images + case.eps * signs).clamp(0, 1))


def art_params(case: Case, steps: int, **more: object) -> dict[str, object]:
    """Common parameters of ART's iterative attacks; ``more`` overrides them."""
    return {"eps": case.eps, "eps_step": case.eps / 4, "max_iter": steps, "batch_size": 128, "verbose": False, **more}
