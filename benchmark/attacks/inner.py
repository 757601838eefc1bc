"""Attack on the networks inside a defense: what is wrapped around them need not let gradients through."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.access import FeatureView, GradientView
from benchmark.attacks.apgd import Apgd
from benchmark.attacks.ascent import check_at_least_one
from benchmark.attacks.base import all_rows, choose, project_linf
from benchmark.attacks.confirm import CONFIRMATIONS
from benchmark.attacks.follow import opened
from benchmark.attacks.pgd import Pgd
from benchmark.randomness import Randomness
from benchmark.task.goal import Goal

NEIGHBOURS = 16
"""Neighbours of a candidate that are tried."""

NEAR = 1e-3 / 255
"""How far away they are, at most."""


@dataclass(frozen=True)
class Inner:
    """PGD on the margin and APGD on cross-entropy, at each network inside the defense that turns images into logits.

    An adaptive attacker owns the deployed system. Its networks are called behind the defense's stages (through BPDA,
    averaged over their randomness), past whatever else the defense does with their answers: labels instead of scores,
    a detached or a false gradient. Candidates are put to the whole system; kept is, per image, the one that it gets
    wrong most often. A system that is not random on paper may be in fact, by its images' last bits: where a candidate
    fails, neighbours closer than a thousandth of a grey level are tried. Where a defense has no network but its own
    classifier, candidates are the images themselves: the usual attacks differentiate that one.

    Costs ``restarts`` times ``steps`` + 1 and ``iterations`` + 1 gradients for each network (times EOT samples), and up
    to 17 decisions for each candidate.

    Args:
        steps: of PGD.
        restarts: of PGD.
        iterations: of APGD.

    Raises:
        BenchError: a parameter is out of range; when called, the view does not open the defense.
    """

    steps: int = 50
    restarts: int = 2
    iterations: int = 50
    knowledge: ClassVar[Literal["features"]] = "features"
    norm: ClassVar[str] = "linf"

    def __post_init__(self) -> None:
        check_at_least_one("inner", steps=self.steps, restarts=self.restarts, iterations=self.iterations)

    def __call__(self, view: GradientView, goal: Goal, images: Tensor, eps_255: float, draw: Randomness) -> Tensor:
        """Attack as :class:`benchmark.attacks.base.GradientAttack` says."""
        inside, candidates = opened("inner", view), images.clone()
        share = torch.zeros(len(images), device=images.device)
        attacks: tuple[Pgd | Apgd, ...] = (
            Pgd(steps=self.steps, loss="margin", restarts=self.restarts),
            Apgd(loss="cross_entropy", iterations=self.iterations),
        )
        for number in range(inside.inner_networks(images)):
            for place, attack in enumerate(attacks):
                rows = all_rows(images)[share.cpu() < 1]
                if len(rows) == 0:
                    return candidates
                here = rows.to(images.device)
                streams = draw.take(rows).fork("inner", number, place)
                found = self._attacked(inside, number, attack, goal.take(here), images[here], rows, eps_255, streams)
                wrong, found = self._best_of(inside, goal.take(here), found, images[here], rows, eps_255, streams)
                candidates[here] = choose(wrong > share[here], found, candidates[here])
                share[here] = torch.maximum(wrong, share[here])
        return candidates

    @staticmethod
    def _attacked(
        inside: FeatureView,
        number: int,
        attack: Pgd | Apgd,
        goal: Goal,
        images: Tensor,
        rows: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> Tensor:
        view = inside.inner(number, images, draw.fork("view"))
        found = attack(view, goal, images, eps_255, draw)
        inside.spend(rows, view)
        return found

    def _best_of(
        self,
        inside: FeatureView,
        goal: Goal,
        found: Tensor,
        images: Tensor,
        rows: Tensor,
        eps_255: float,
        draw: Randomness,
    ) -> tuple[Tensor, Tensor]:
        """Share of wrong decisions (n,) on candidates, and these; of a system without randomness on neighbours too."""
        wrong = self._share_wrong(inside, goal, found, rows)
        for place in range(0 if inside.stochastic else NEIGHBOURS):
            left = (wrong < 1).nonzero().squeeze(1)
            if len(left) == 0:
                break
            moved = NEAR * draw.take(left.cpu()).fork("neighbour", place).uniform(found.shape[1:], -1, 1)
            near = project_linf(found[left] + moved, images[left], eps_255 / 255)
            now = self._share_wrong(inside, goal.take(left), near, rows[left.cpu()])
            found = found.clone()
            found[left] = choose(now > wrong[left], near, found[left])
            wrong[left] = torch.maximum(now, wrong[left])
        return wrong, found

    @staticmethod
    def _share_wrong(inside: FeatureView, goal: Goal, candidates: Tensor, rows: Tensor) -> Tensor:
        """(n,) share of decisions of the whole system on candidates that are wrong."""
        looks = CONFIRMATIONS if inside.stochastic else 1
        faults = torch.zeros(len(rows), device=candidates.device)
        for _ in range(looks):
            faults += goal.missed(inside.label(candidates, rows)).to(faults.dtype)
        return faults / looks
